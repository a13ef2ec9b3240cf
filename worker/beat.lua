-- Say that this worker is alive, and forget those that have been silent for a minute.
-- KEYS: workers.  ARGV: the worker's card.
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60)
return now
