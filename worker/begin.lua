-- Take a group's lease, and read its job and what is already committed.
-- KEYS: lease, job, slots.  ARGV: holder, milliseconds.  Returns {job, {field, value, ...}} or nothing.
local job = redis.call('GET', KEYS[2])
if not job then
  return false
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return false
end
return {job, redis.call('HGETALL', KEYS[3])}
