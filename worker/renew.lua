-- Prolong a lease, if it is still ours; take one again that expired while nobody else came.
-- KEYS: lease.  ARGV: holder, milliseconds.
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
