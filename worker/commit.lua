-- Commit results of slots: each once, with its entry in the run's stream. Put before the scripts that
-- commit: the one that does nothing else, and the governor's settlement of a call.
-- From KEYS[k]: slots, events, job, lease.
-- From ARGV[a]: step, group, seconds to live, holder, then field and value in turn.
-- A job that is gone belongs to a closed step: its late results change nothing. A failure counts only
-- from who holds the group: one that comes late must not stand in the way of what the next one pays for.
local function commit(k, a)
  if redis.call('EXISTS', KEYS[k + 2]) == 0 then
    return 0
  end
  local holds = redis.call('GET', KEYS[k + 3]) == ARGV[a + 3]
  local committed = 0
  for i = a + 4, #ARGV, 2 do
    local field, value = ARGV[i], ARGV[i + 1]
    local kind = string.match(value, '^%["(%a+)"')
    if (kind ~= 'Failure' or holds) and redis.call('HSETNX', KEYS[k], field, value) == 1 then
      committed = committed + 1
      if kind ~= 'JudgeAnswer' then
        redis.call('XADD', KEYS[k + 1], '*', 'step', ARGV[a], 'group', ARGV[a + 1],
          'field', field, 'result', value)
      end
    end
  end
  redis.call('EXPIRE', KEYS[k], ARGV[a + 2])
  return committed
end
