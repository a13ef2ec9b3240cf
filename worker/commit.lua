-- Commit results of slots: each once, with its entry in the run's stream.
-- KEYS: slots, events, job.  ARGV: step, group, seconds to live, then field and value in turn.
-- A job that is gone belongs to a closed step: its late results change nothing.
if redis.call('EXISTS', KEYS[3]) == 0 then
  return 0
end
local committed = 0
for i = 4, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('XADD', KEYS[2], '*', 'step', ARGV[1], 'group', ARGV[2], 'field', ARGV[i], 'result', ARGV[i + 1])
    committed = committed + 1
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return committed
