-- Reservations and doubts of one run: read, written and moved by the scripts this is put before, after
-- instants.lua.
-- KEYS 1-4, the same in each of those: money, expiries, reservations, doubts.
-- A reservation: role, ceiling, time of leaving in us, calls in flight then, max_inflight,
-- tokens, max_tpm, owner, model, and the ceiling's parts. A doubt: 1e-9 USD, calls, and the owner who may still say how it ended.

local LEDGER_TTL_S = 7 * 86400

local function book(kind, role, amount)
  if amount ~= 0 then
    redis.call('HINCRBY', KEYS[1], kind .. ':' .. role, text(amount))
  end
end

local function reservation(call)
  local found = redis.call('HGET', KEYS[3], call)
  if not found then
    return nil
  end
  local parts = {}
  for part in string.gmatch(found, '%S+') do
    parts[#parts + 1] = part
  end
  return {
    role = parts[1], ceiling = tonumber(parts[2]), left_us = tonumber(parts[3]),
    in_flight = tonumber(parts[4]), max_inflight = tonumber(parts[5]),
    tokens = tonumber(parts[6]), max_tpm = tonumber(parts[7]), owner = parts[8],
    parts = parts, model = parts[9], fixed = tonumber(parts[10] or 0),
    bytes = tonumber(parts[11] or 0), completion = tonumber(parts[12] or 0),
  }
end

-- The most that a call may cost at the rates that its model was found to bill, but `least`;
-- shared.wire.money.Ceiling computes the same. No rates: nothing was billed yet.
local function ceiling_of(least, fixed, bytes, completion, rates)
  if not rates[1] then
    return least
  end
  local found = (fixed + bytes * rates[1] + completion * rates[2]) * rates[3]
  return math.max(least, math.ceil(found - 1e-6))
end

-- As it stands in a reservation, whose parts are parted by spaces.
local function one_word(model)
  return (string.gsub(model, '%s', '_'))
end

local function rates_in(key)
  local found = redis.call('HMGET', key, 'bytes', 'completion', 'price', 'bills')
  return {tonumber(found[1]), tonumber(found[2]), tonumber(found[3]), tonumber(found[4])}
end

-- The two keys' time to live is left to the caller.
local function reserve(call, expires_us, parts)
  redis.call('HSET', KEYS[3], call, table.concat(parts, ' '))
  redis.call('ZADD', KEYS[2], text(expires_us), call)
  book('reserved', parts[1], tonumber(parts[2]))
end

local function unreserve(call, held)
  redis.call('HDEL', KEYS[3], call)
  redis.call('ZREM', KEYS[2], call)
  book('reserved', held.role, -held.ceiling)
end

-- Perhaps it was paid: it counts in full until somebody knows better.
local function doubt(role, call, amount, owner)
  local field = role .. ' ' .. call
  local before = redis.call('HGET', KEYS[4], field)
  local sum, calls = amount, 1
  if before then
    local old_amount, old_calls = string.match(before, '^(%d+) (%d+)')
    sum, calls = sum + tonumber(old_amount), calls + tonumber(old_calls)
  end
  redis.call('HSET', KEYS[4], field, text(sum) .. ' ' .. calls .. ' ' .. owner)
  redis.call('EXPIRE', KEYS[4], LEDGER_TTL_S)
  book('perhaps', role, amount)
  book('unknown', role, 1)
end

-- Take a doubt away; nothing if there is none, or if `owner` is given and it is not that one's.
local function undoubt(role, call, owner)
  local field = role .. ' ' .. call
  local found = redis.call('HGET', KEYS[4], field)
  if not found then
    return false
  end
  local amount, calls, whose = string.match(found, '^(%d+) (%d+) (.+)$')
  if owner and owner ~= whose then
    return false
  end
  redis.call('HDEL', KEYS[4], field)
  book('perhaps', role, -tonumber(amount))
  book('unknown', role, -tonumber(calls))
  return true
end

-- A reservation whose worker is silent becomes a doubt. Its worker may yet turn out to be slow.
local function presume_dead(call)
  local held = reservation(call)
  if not held then
    return redis.call('ZREM', KEYS[2], call)
  end
  unreserve(call, held)
  doubt(held.role, call, held.ceiling, held.owner)
  book('calls', held.role, 1)
end
