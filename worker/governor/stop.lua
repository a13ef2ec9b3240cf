-- Stop a run, unless it is stopped, tell its orchestrator, and wake whoever waits in it.
-- KEYS: money, expiries, reservations, doubts, line, stop, events (the first four as everywhere).
-- ARGV: stop, kind, sentence, run.  Returns the stop that holds.
if redis.call('SET', KEYS[6], ARGV[1], 'NX') then
  redis.call('XADD', KEYS[7], '*', 'stop', ARGV[2], 'sentence', ARGV[3])
end
local now_ms = math.floor(server_time_us() / 1000)
for _, head in ipairs(heads_in_line(now_ms)) do
  if head.entry.run == ARGV[4] then
    call_up(head, now_ms)
  end
end
return redis.call('GET', KEYS[6])
