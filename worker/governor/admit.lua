-- Which of these calls may leave now, first come first? Each that may has its permit taken, its dollars
-- reserved and its rate paid; the first that must wait ends the list.
-- KEYS: money, expiries, reservations, doubts, line, permits, permits of the model,
--   stop, pause, pause of the model, requests, tokens, adaptive, places, rates of the model, then a
--   lease per call.
-- ARGV: mailbox, place in the line (0 = none yet), owner, run, model, max_inflight, max_rpm,
--   max_tpm (0 = none), max cost (1e-9 USD, -1 = none), first adaptive limit, longest wait (us), then
--   per call: call, role, tokens, ceiling (1e-9 USD), lifetime (us), holder of the lease, and the
--   ceiling's parts: fixed, bytes, completion (1e-9 USD).
-- Returns an answer per call: {'admitted'} or {'lost'}, and last perhaps {'stopped', stop},
--   {'exhausted', committed, ceiling}, or {'wait', us, place}: ask again then, or when the mailbox says so.
-- Rates by GCRA: one number says when everything admitted so far is paid off at the allowed rate;
-- a call may leave while that lies no further ahead than the burst.
local mailbox, place, owner, run, model = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local max_inflight, max_rpm, max_tpm = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local max_cost, longest_wait = tonumber(ARGV[9]), tonumber(ARGV[11])
local SHARED_ARGV, CALL_ARGV, SHARED_KEYS = 11, 9, 15
local MINUTE_US, SECONDS = 60000000, 60
local STATE_TTL_S, ADAPTIVE_TTL_S = 86400, 3600

local now = server_time_us()
local now_ms = math.floor(now / 1000)

local state = redis.call('MGET', KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12])
local found = redis.call('HMGET', KEYS[13], 'limit', 'seen_us')
local learnt = tonumber(found[1] or ARGV[10])

-- Where the clock was put back, what dead workers held would stay as long again: it lives no longer
-- than that of a call which leaves now.
if now < tonumber(found[2] or 0) then
  local latest = now + tonumber(ARGV[SHARED_ARGV + 5])
  for _, key in ipairs({KEYS[2], KEYS[6], KEYS[7]}) do
    for _, call in ipairs(redis.call('ZRANGEBYSCORE', key, text(latest + 1), '+inf')) do
      redis.call('ZADD', key, text(latest), call)
    end
  end
  redis.call('HSET', KEYS[13], 'seen_us', text(now))
end
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  presume_dead(silent)
end
redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now)
local heads = heads_in_line(now_ms, mailbox)

local function wait(reason, wait_us)
  wait_us = math.ceil(math.max(wait_us, 1000))
  if place == 0 then
    place = redis.call('INCR', KEYS[14])
    redis.call('EXPIRE', KEYS[14], STATE_TTL_S)
  end
  keep_place(mailbox, now_ms, {
    place = place, until_ms = now_ms + math.ceil(wait_us / 1000) + GRACE_MS, reason = reason,
    run = run, model = model, woken = false,
  })
  return {'wait', text(wait_us), text(place)}
end

-- How long until the first of these dead workers' calls expires, at most the longest wait.
local function until_expiry(key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
  return math.min(longest_wait, first and tonumber(first) - now + 1000 or longest_wait)
end

-- A pause is over gradually: the share of the limit that is open grows from 0 to 1 after its end.
local paused_us, open, ramp_us = 0, 1, 0
for i = 2, 3 do
  local left, ramp = pause_left_us(KEYS[7 + i], state[i], now)
  if left and left > 0 then
    paused_us = math.max(paused_us, left)
  elseif left and left + ramp > 0 then
    open, ramp_us = math.min(open, -left / ramp), ramp
  end
end
local limit = math.max(1, math.floor(math.min(learnt, max_inflight) * open))
local rates = rates_in(KEYS[15])
if max_cost >= 0 and tonumber(ARGV[SHARED_ARGV + 9]) > 0 then
  -- What a model bills is known from its bills alone: under a cap the first call goes alone, and no
  -- more are under way than twice as many as were billed.
  limit = math.min(limit, math.max(1, 2 * (rates[4] or 0)))
end

-- What the run has reserved, and what it has spent or perhaps spent.
local function sums()
  local reserved, settled = 0, 0
  for _, who in ipairs({'generate', 'judge', 'eval'}) do
    local found = redis.call('HMGET', KEYS[1], 'reserved:' .. who, 'spent:' .. who,
      'estimated:' .. who, 'perhaps:' .. who)
    reserved = reserved + tonumber(found[1] or 0)
    settled = settled + tonumber(found[2] or 0) + tonumber(found[3] or 0) + tonumber(found[4] or 0)
  end
  return reserved, settled
end

-- Whoever came before and waits for the same goes first. Those who wait for a pause, for dollars or
-- for another model's permit hold nobody up.
local function rivals()
  local all, of_model = 0, 0
  for _, head in ipairs(heads) do
    local entry = head.entry
    local earlier = place == 0 or entry.place < place
    local rival = entry.reason == 'account' or entry.reason == 'rpm' or entry.reason == 'tpm'
    if earlier and (rival or (entry.reason == 'model' and entry.model == model)) then
      all = all + 1
      of_model = of_model + (entry.model == model and 1 or 0)
    end
  end
  return all, of_model
end

-- When the next call may leave (us from now, <= 0: now), and how far ahead all is paid off if it does.
local function rate(ahead_us, per_minute, amount, burst, ahead)
  local cost = amount * MINUTE_US / per_minute
  local wait_us = ahead_us + cost * (1 + ahead) - math.max(burst * MINUTE_US / per_minute, cost)
  return wait_us, ahead_us + cost
end

-- The slowest rate is one request a minute; what a call is charged in tokens has no bound.
local requests_us = max_rpm > 0 and instant_left_us(KEYS[11], state[4], now, MINUTE_US)
local tokens_us = max_tpm > 0 and instant_left_us(KEYS[12], state[5], now, LONGEST_PAUSE_US)

local last_ceiling = 0

local function admit(call, role, tokens, least, lifetime, holder, parts, lease)
  local ceiling = ceiling_of(least, parts[1], parts[2], parts[3], rates)
  local held = reservation(call)
  if held and held.owner == owner then
    -- The answer to the first ask was lost on its way, and the client asked again.
    return {'admitted'}
  end
  if state[1] then
    return {'stopped', state[1]}
  end
  local holds = redis.call('GET', lease)
  if holds and holds ~= holder then
    -- Another worker has the group in hand, or its step is over: paying here too would be paying twice.
    return {'lost'}
  end
  if held then
    -- Another worker had this call: its task was delivered again because it died.
    presume_dead(call)
    redis.call('ZREM', KEYS[6], call)
    redis.call('ZREM', KEYS[7], call)
  end
  if paused_us > 0 then
    return wait('pause', paused_us)
  end
  if max_cost >= 0 then
    local reserved, settled = sums()
    -- A call that may cost nothing still needs a budget that is not used up.
    if settled + reserved + math.max(ceiling, 1) > max_cost then
      return reserved > 0 and wait('budget', until_expiry(KEYS[2]))
        or {'exhausted', text(settled), text(ceiling)}
    end
  end
  local in_flight, of_model = redis.call('ZCARD', KEYS[6]), redis.call('ZCARD', KEYS[7])
  local ahead, ahead_of_model = rivals()
  if of_model + ahead_of_model >= limit then
    local step = open < 1 and ramp_us / math.max(1, math.min(learnt, max_inflight)) or longest_wait
    return wait('model', math.min(step, until_expiry(KEYS[7])))
  end
  if in_flight + ahead >= max_inflight then
    return wait('account', until_expiry(KEYS[6]))
  end
  local wait_us, requests_due, tokens_due
  if max_rpm > 0 then
    local burst = math.max(1, math.floor(max_rpm / SECONDS))
    wait_us, requests_due = rate(requests_us, max_rpm, 1, burst, ahead)
    if wait_us > 0 then
      return wait('rpm', wait_us)
    end
  end
  if max_tpm > 0 then
    wait_us, tokens_due = rate(tokens_us, max_tpm, tokens, max_tpm / SECONDS, ahead)
    if wait_us > 0 then
      return wait('tpm', wait_us)
    end
  end
  if requests_due then
    keep_instant(KEYS[11], requests_due, now)
    requests_us = requests_due
  end
  if tokens_due then
    keep_instant(KEYS[12], tokens_due, now)
    tokens_us = tokens_due
  end
  redis.call('ZADD', KEYS[6], text(now + lifetime), call)
  redis.call('ZADD', KEYS[7], text(now + lifetime), call)
  reserve(call, now + lifetime, {
    role, text(ceiling), text(now), text(of_model + 1), ARGV[6], text(tokens), ARGV[8], owner,
    one_word(model), text(parts[1]), text(parts[2]), text(parts[3]),
  })
  last_ceiling = ceiling
  -- Its place is used; who comes after it here has none yet.
  if place > 0 then
    redis.call('HDEL', KEYS[5], mailbox)
    place = 0
  end
  return {'admitted'}
end

local answers, admitted = {}, false
for i = 0, (#ARGV - SHARED_ARGV) / CALL_ARGV - 1 do
  local at = SHARED_ARGV + i * CALL_ARGV
  local answer = admit(ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]),
    tonumber(ARGV[at + 5]), ARGV[at + 6],
    {tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9])},
    KEYS[SHARED_KEYS + 1 + i])
  answers[#answers + 1] = answer
  if answer[1] == 'admitted' then
    admitted = true
  elseif answer[1] ~= 'lost' then
    break
  end
end
if not admitted then
  return answers
end

redis.call('HSET', KEYS[13], 'seen_us', text(now))
redis.call('EXPIRE', KEYS[13], ADAPTIVE_TTL_S)
redis.call('EXPIRE', KEYS[2], LEDGER_TTL_S)
redis.call('EXPIRE', KEYS[3], LEDGER_TTL_S)
redis.call('EXPIRE', KEYS[6], STATE_TTL_S)
redis.call('EXPIRE', KEYS[7], STATE_TTL_S)
-- One settlement wakes one head; if there is room for more, each wakes the next.
local in_flight, of_model = redis.call('ZCARD', KEYS[6]), redis.call('ZCARD', KEYS[7])
if in_flight < max_inflight then
  wake_first(heads, now_ms, function(entry)
    return entry.reason == 'account' or (entry.reason == 'model' and entry.model == model
      and of_model < limit)
  end)
end
if max_cost < 0 then
  return answers
end
local reserved, settled = sums()
if settled + reserved + last_ceiling <= max_cost then
  wake_first(heads, now_ms, function(entry)
    return entry.reason == 'budget' and entry.run == run
  end)
end
return answers
