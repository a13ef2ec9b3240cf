-- Say that this worker is alive, and forget those that have been silent for a minute.
-- KEYS: workers.  ARGV: the worker's card.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60)
-- The clock was put back since: who lives says so again.
redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 60, '+inf')
return now
