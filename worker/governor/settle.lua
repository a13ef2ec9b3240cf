-- A call ended: give its permit back, book its money, correct its tokens, learn from it.
-- KEYS: money, expiries, reservations, doubts, line, permits, permits of the model,
--   stop, tokens, adaptive, verdicts, tripped, rates of the model; beside adaptive its levels, under
--   the same name; and where there is a result to keep, those of commit.lua.
-- ARGV: call, owner, run, model, role, cost (1e-9 USD, '' = unknown), estimate (1e-9 USD), billed,
--   tokens ('' = unknown), throttled (1 or 0), verdict (fine, reject, none), name of the reject,
--   first adaptive limit, what the bill says of the model's rates (tokens per byte, multiples of
--   max_tokens and of the price; '' = nothing); and those of commit.lua.
-- Returns a list of the owner's mailboxes that were called up, and when the circuit breaker trips
--   {name, its rejects, rejects, answers}.
-- A call without a reservation was settled before: nothing changes.
if #KEYS > 13 then
  commit(14, 17)
end

local call, owner, run, model, role = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local throttled, verdict = ARGV[10] == '1', ARGV[11]
own = owner

-- Of the number in flight that proved too many, what is left; the first time, when the limit has
-- just been doubled and answers overtake each other, the number is known less well.
local CUT, FIRST_CUT = 0.9, 0.75
-- One cut takes at most this share of the limit into account: after a pause few are in flight.
local DEEPEST = 0.5
local COOL_DOWN_US = 100000
-- A level that proved too high is tried again after this time, then after twice as long.
local HOLD_US, LONGEST_HOLD_US = 30000000, 240000000
-- A call that was refused with so many in flight is no reason to cut, if of those that left with as
-- many or more this many times as many came back well: then it is the other side that is busy. And
-- one alone is none: what is too much is refused again.
local EVIDENCE, EVIDENCE_WINDOW_S, REFUSALS = 4, 30, 2
-- In use: this share of the limit.
local USED = 0.9
local ADAPTIVE_TTL_S = 3600
local FIRST_REJECTS, LAST_ANSWERS = 5, 40
local TRIPPED_TTL_S, VERDICTS_TTL_S = 60, 7 * 86400

local now = server_time_us()
local now_ms = math.floor(now / 1000)
local held = reservation(call)
local late = false
if held and held.owner == owner then
  unreserve(call, held)
  redis.call('ZREM', KEYS[6], call)
  redis.call('ZREM', KEYS[7], call)
elseif undoubt(role, call, owner) then
  -- Its reservation had expired: the worker was slow, not dead, and says now what it cost.
  late = true
else
  return {told}
end

if not late then
  book('calls', role, 1)
end
if ARGV[6] ~= '' then
  book('spent', role, tonumber(ARGV[6]))
elseif ARGV[8] == 'yes' then
  book('estimated', role, tonumber(ARGV[7]))
  book('unknown', role, 1)
elseif ARGV[8] == 'perhaps' then
  doubt(role, call, math.max(tonumber(ARGV[7]), late and 0 or held.ceiling), '-')
end

-- A bill that is dearer than those before raises what is held for every call of the model that is
-- under way, so that the next one finds the cap as near as it is.
local function learn()
  local before = rates_in(KEYS[13])
  redis.call('HINCRBY', KEYS[13], 'bills', 1)
  local rates, dearer = {}, false
  for i = 1, 3 do
    rates[i] = math.max(before[i] or 0, tonumber(ARGV[13 + i]))
    dearer = dearer or rates[i] > (before[i] or 0)
  end
  if not dearer then
    return
  end
  redis.call('HSET', KEYS[13], 'bytes', rates[1], 'completion', rates[2], 'price', rates[3])
  redis.call('EXPIRE', KEYS[13], LEDGER_TTL_S)
  for _, other in ipairs(redis.call('HKEYS', KEYS[3])) do
    local one = reservation(other)
    if one.model == one_word(model) then
      local ceiling = ceiling_of(one.ceiling, one.fixed, one.bytes, one.completion, rates)
      if ceiling > one.ceiling then
        book('reserved', one.role, ceiling - one.ceiling)
        one.parts[2] = text(ceiling)
        redis.call('HSET', KEYS[3], other, table.concat(one.parts, ' '))
      end
    end
  end
end

if ARGV[14] ~= '' then
  learn()
end

local fewer_tokens = false
if not late and held.max_tpm > 0 and ARGV[9] ~= '' then
  local ahead_us = instant_left_us(KEYS[9], redis.call('GET', KEYS[9]), now, LONGEST_PAUSE_US)
  local off = (tonumber(ARGV[9]) - held.tokens) * 60000000 / held.max_tpm
  fewer_tokens = off < 0
  if ahead_us + off > 0 then
    keep_instant(KEYS[9], ahead_us + off, now)
  else
    redis.call('DEL', KEYS[9])
  end
end

-- What came back, by how many were in flight when it left; forgotten after a while.
local levels = KEYS[10] .. ':levels'

local function count(kind, level)
  if redis.call('HINCRBY', levels, kind .. ':' .. level, 1) == 1
    and redis.call('TTL', levels) < 0 then
    redis.call('EXPIRE', levels, EVIDENCE_WINDOW_S)
  end
end

local function sum(kind, lowest, highest)
  local total, found = 0, redis.call('HGETALL', levels)
  for i = 1, #found, 2 do
    local which, level = string.match(found[i], '^(%a+):(%d+)$')
    level = tonumber(level)
    if which == kind and level >= lowest and level <= highest then
      total = total + tonumber(found[i + 1])
    end
  end
  return total
end

-- Refused at a level or below it, against fine at that level or above.
local function bears(level)
  count('no', level)
  if sum('ok', level, 1/0) >= EVIDENCE * sum('no', 0, level) then
    redis.call('HINCRBY', levels, 'no:' .. level, -1)
    return true
  end
  return sum('no', 0, 1/0) < REFUSALS
end

-- Adaptive concurrency: double, then add one, while what left with the limit in use comes back well;
-- cut when told that it is too much. After a cut, grow back to just below what was too much, stay
-- there for the hold, then try again (like CUBIC's plateau: each try may cost everyone a pause).
local function adapt()
  local found = redis.call('HMGET', KEYS[10], 'limit', 'cut_us', 'changed_us', 'ceiling', 'hold_us')
  local limit = math.min(tonumber(found[1] or ARGV[13]), held.max_inflight)
  -- Not later than now: the clock may have been put back.
  local cut_us = math.min(now, tonumber(found[2] or 0))
  local changed_us = math.min(now, tonumber(found[3] or 0))
  local ceiling, hold_us = tonumber(found[4] or 0), tonumber(found[5] or HOLD_US)
  if throttled then
    -- What was fine: as many as still are in flight, or were when this one left.
    local fine = math.max(redis.call('ZCARD', KEYS[7]), held.in_flight - 1, 1)
    if held.left_us <= cut_us or now - cut_us < COOL_DOWN_US then
      -- What left before the last cut says nothing about the limit since. But the last of a wave
      -- that was too high knows best how high the limit may grow back.
      if ceiling > 0 and fine < ceiling then
        redis.call('HSET', KEYS[10], 'ceiling', math.max(limit, fine))
      end
      return
    end
    if bears(held.in_flight) then
      return
    end
    local failed_at = math.max(math.min(held.in_flight, limit), math.floor(limit * DEEPEST))
    local again = ceiling > 0 and failed_at >= ceiling and failed_at <= ceiling + 1
    hold_us = again and math.min(hold_us * 2, LONGEST_HOLD_US) or HOLD_US
    local left = math.max(1, math.floor(failed_at * (ceiling == 0 and FIRST_CUT or CUT)))
    redis.call('HSET', KEYS[10], 'limit', left, 'cut_us', text(now), 'changed_us', text(now),
      'ceiling', math.max(left, fine), 'hold_us', text(hold_us))
    redis.call('DEL', levels)
  elseif verdict == 'fine' then
    count('ok', held.in_flight)
    if ceiling > 0 and held.in_flight > ceiling and sum('ok', held.in_flight, 1/0) >= EVIDENCE then
      -- What seemed too much is borne: it is found out anew how much is.
      redis.call('HSET', KEYS[10], 'ceiling', 0)
      ceiling = 0
    end
    local used = held.in_flight >= math.ceil(limit * USED)
    local held_back = ceiling > 0 and limit >= ceiling and now - cut_us < hold_us
    if not used or held.left_us <= changed_us or held_back or limit >= held.max_inflight then
      return
    end
    local grown = ceiling == 0 and limit * 2 or limit + 1
    redis.call('HSET', KEYS[10], 'limit', math.min(grown, held.max_inflight),
      'changed_us', text(now))
  end
end

if not late then
  adapt()
  redis.call('EXPIRE', KEYS[10], ADAPTIVE_TTL_S)
end

local heads = heads_in_line(now_ms)
wake_first(heads, now_ms, waits_for_permit(model))
wake_first(heads, now_ms, function(entry)
  return entry.reason == 'budget' and entry.run == run
end)
if fewer_tokens then
  wake_first(heads, now_ms, function(entry) return entry.reason == 'tpm' end)
end

-- The circuit breaker. A run that has a stop, or whose breaker has just spoken, is over.
if verdict == 'none' or redis.call('EXISTS', KEYS[8], KEYS[12]) > 0 then
  return {told}
end
redis.call('LPUSH', KEYS[11], verdict == 'reject' and ARGV[12] or '')
redis.call('LTRIM', KEYS[11], 0, LAST_ANSWERS - 1)
redis.call('EXPIRE', KEYS[11], VERDICTS_TTL_S)
if verdict == 'fine' then
  return {told}
end
local answers = redis.call('LRANGE', KEYS[11], 0, -1)
local rejects, times, worst = 0, {}, ARGV[12]
for _, name in ipairs(answers) do
  if name ~= '' then
    rejects = rejects + 1
    times[name] = (times[name] or 0) + 1
    if times[name] > (times[worst] or 0) then
      worst = name
    end
  end
end
local all_equal = #answers == FIRST_REJECTS and times[worst] == FIRST_REJECTS
if not all_equal and not (#answers == LAST_ANSWERS and rejects * 2 > LAST_ANSWERS) then
  return {told}
end
redis.call('DEL', KEYS[11])
redis.call('SET', KEYS[12], worst, 'EX', TRIPPED_TTL_S)
return {told, {worst, times[worst], rejects, #answers}}
