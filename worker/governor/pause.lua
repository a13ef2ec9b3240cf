-- Hold calls back for a time; a longer pause that is on already stays.
-- KEYS: pause.  ARGV: microseconds, microseconds over which it then opens again.
local now = server_time_us()
local before = pause_left_us(KEYS[1], redis.call('GET', KEYS[1]), now)
if before and before >= tonumber(ARGV[1]) then
  return 0
end
keep_pause(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), now)
return 1
