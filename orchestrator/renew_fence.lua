-- Prolong the fence, or give it up if it is ours; take one again that expired while nobody else came.
-- KEYS: fence, head.  ARGV: token, milliseconds (0 = give up).
-- Returns 'ours', 'lost' to another, or 'wiped': the server knows nothing of the run any more.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 'lost'
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
elseif owner or redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
else
  return 'wiped'
end
return 'ours'
