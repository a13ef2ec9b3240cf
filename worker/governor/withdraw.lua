-- A waiter gave up: it leaves no place, no permit and no reservation behind.
-- KEYS: money, expiries, reservations, doubts, line, permits, permits of the model.
-- ARGV: mailbox, call ('' = none), owner, model.
-- What it paid of the rate stays paid: a moment's rate unused, never too much.
redis.call('HDEL', KEYS[5], ARGV[1])
local held = reservation(ARGV[2])
if held and held.owner == ARGV[3] then
  unreserve(ARGV[2], held)
  redis.call('ZREM', KEYS[6], ARGV[2])
  redis.call('ZREM', KEYS[7], ARGV[2])
end
-- It may have been woken, or have held others up: the next in line looks for itself.
local now_ms = math.floor(server_time_us() / 1000)
local heads = heads_in_line(now_ms)
wake_first(heads, now_ms, waits_for_permit(ARGV[4]))
wake_first(heads, now_ms, function(entry)
  return entry.reason == 'rpm' or entry.reason == 'tpm' or entry.reason == 'budget'
end)
return redis.status_reply('OK')
