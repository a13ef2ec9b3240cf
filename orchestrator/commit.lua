-- Write one version of a run's state, if this orchestrator owns the run and nobody wrote since.
-- KEYS: fence, head, weights, metrics.
-- ARGV: token, expected version, version, next step, weights, metrics or '', versions and metrics kept,
--       milliseconds of the fence, a name for this commit that no other has.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 'another orchestrator owns the run: ' .. owner
end
local version = redis.call('HGET', KEYS[2], 'version') or '-1'
if version == ARGV[3] and redis.call('HGET', KEYS[2], 'commit') == ARGV[10] then
  -- The answer to this very commit was lost on its way.
  return 'ok'
end
if version == '-1' and ARGV[2] ~= '-1' then
  return 'wiped'
end
if version ~= ARGV[2] then
  return 'Redis is at version ' .. version .. ' and not at ' .. ARGV[2]
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[9])
redis.call('HSET', KEYS[2], 'version', ARGV[3], 'next_step', ARGV[4], 'commit', ARGV[10])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[5])
redis.call('HDEL', KEYS[3], tostring(tonumber(ARGV[3]) - tonumber(ARGV[7])))
if ARGV[6] ~= '' then
  redis.call('XADD', KEYS[4], 'MAXLEN', ARGV[8], '*', 'metrics', ARGV[6])
end
return 'ok'
