-- Take a group's lease, and read its job and what is already committed.
-- A run that has a stop begins nothing.
-- KEYS: lease, job, slots, stop.  ARGV: holder, milliseconds.
-- Returns {job, {field, value, ...}} or nothing.
local job = redis.call('GET', KEYS[2])
if not job or redis.call('EXISTS', KEYS[4]) == 1 then
  return false
end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  -- No worker's lease is longer than 10 minutes, unless the clock was put back since: who lives has
  -- renewed its own by now.
  local left_ms = redis.call('PTTL', KEYS[1])
  if redis.call('GET', KEYS[1]) == 'closed' or (left_ms >= 0 and left_ms <= 600000) then
    return false
  end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return {job, redis.call('HGETALL', KEYS[3])}
