-- Hold calls back for a time; a longer pause that is on already stays.
-- KEYS: pause.  ARGV: microseconds, microseconds over which it then opens again.
local time = redis.call('TIME')
local ends = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])
local before = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+)')
if before and tonumber(before) >= ends then
  return 0
end
local lives_ms = math.ceil((tonumber(ARGV[1]) + tonumber(ARGV[2])) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', ends) .. ' ' .. ARGV[2], 'PX', lives_ms)
return 1
