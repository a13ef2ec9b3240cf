-- Take a group's lease, and read its job and what is already committed.
-- A run that has a stop begins nothing.
-- KEYS: lease, job, slots, stop.  ARGV: holder, milliseconds.
-- Returns {job, {field, value, ...}} or nothing.
local job = redis.call('GET', KEYS[2])
if not job or redis.call('EXISTS', KEYS[4]) == 1 then
  return false
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return false
end
return {job, redis.call('HGETALL', KEYS[3])}
