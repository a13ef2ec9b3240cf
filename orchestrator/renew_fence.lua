-- Prolong the fence if it is ours, or give it up.  KEYS: fence.  ARGV: token, milliseconds (0 = give up).
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  return redis.call('DEL', KEYS[1])
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
