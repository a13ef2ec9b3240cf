-- Instants that calls wait for, in us, kept with the time at which they were set: a server's clock may
-- be put back, and no wait becomes longer by that than it was when it was set. What expires by itself
-- is no help, as it expires by the same clock. Put before the scripts that use it.

-- Lua writes numbers above 1e14 with an exponent, which HINCRBY refuses.
local function text(number)
  return string.format('%.0f', number)
end

local function server_time_us()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- How far ahead an instant lies that was set at `set_us`, and whether the clock was put back since.
local function left_us(ends_us, set_us, now, longest_us)
  local put_back = math.max(0, (set_us or now) - now)
  local left = math.min(ends_us - now - put_back, longest_us)
  return left, ends_us - now > left
end

local function lives_ms(us)
  return text(math.ceil(us / 1000))
end

-- An instant alone: 'ends set'. It is kept a second longer.
local function keep_instant(key, ahead_us, now)
  redis.call('SET', key, text(now + ahead_us) .. ' ' .. text(now), 'PX', lives_ms(ahead_us + 1000000))
end

local function instant_left_us(key, value, now, longest_us)
  if not value then
    return 0
  end
  local ends, set = string.match(value, '^(%d+) ?(%d*)$')
  local left, wrong = left_us(tonumber(ends), tonumber(set), now, longest_us)
  if wrong then
    keep_instant(key, left, now)
  end
  return math.max(0, left)
end

-- A pause: 'ends ramp set'. After it calls open gradually, over the ramp.
local LONGEST_PAUSE_US = 3600000000

local function keep_pause(key, left, ramp, now)
  redis.call('SET', key, table.concat({text(now + left), text(ramp), text(now)}, ' '),
    'PX', lives_ms(math.max(1000, left + ramp)))
end

-- What is left of it, negative in its ramp, and the ramp; nothing if there is none.
local function pause_left_us(key, value, now)
  local ends, ramp, set = string.match(value or '', '^(%d+) (%d+) ?(%d*)$')
  if not ends then
    return nil
  end
  local left, wrong = left_us(tonumber(ends), tonumber(set), now, LONGEST_PAUSE_US)
  if wrong then
    keep_pause(key, left, tonumber(ramp), now)
  end
  return left, tonumber(ramp)
end
