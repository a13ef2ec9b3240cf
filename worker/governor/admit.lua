-- May this call leave now? If so its permit is taken, its dollars are reserved and its rate is paid.
-- KEYS: money, expiries, reservations, doubts, line, permits, permits of the model,
--   stop, pause, pause of the model, requests, tokens, adaptive, places, lease.
-- ARGV: mailbox, place in the line (0 = none yet), call, owner, run, model, role, tokens,
--   ceiling (1e-9 USD), lifetime (us), max_inflight, max_rpm, max_tpm (0 = none),
--   max cost (1e-9 USD, -1 = none), first adaptive limit, longest wait (us), holder of the lease.
-- Returns {'admitted'}, {'stopped', stop}, {'lost'}, {'exhausted', committed}, or
--   {'wait', us, place}: ask again then, or when the mailbox says so.
-- Rates by GCRA: one number says when everything admitted so far is paid off at the allowed rate;
-- a call may leave while that lies no further ahead than the burst.
local mailbox, place, call, owner = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local run, model, role = ARGV[5], ARGV[6], ARGV[7]
local tokens, ceiling, lifetime = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local max_inflight, max_rpm = tonumber(ARGV[11]), tonumber(ARGV[12])
local max_tpm, max_cost = tonumber(ARGV[13]), tonumber(ARGV[14])
local longest_wait = tonumber(ARGV[16])
local MINUTE_US, SECONDS = 60000000, 60
local STATE_TTL_S = 86400

local now = server_time_us()
local now_ms = math.floor(now / 1000)

local held = reservation(call)
if held and held.owner == owner then
  -- The answer to the first ask was lost on its way, and the client asked again.
  return {'admitted'}
end

local state = redis.call('MGET', KEYS[8], KEYS[9], KEYS[10], KEYS[11], KEYS[12])
if state[1] then
  return {'stopped', state[1]}
end
local holder = redis.call('GET', KEYS[15])
if holder and holder ~= ARGV[17] then
  -- Another worker has the group in hand, or its step is over: paying here too would be paying twice.
  return {'lost'}
end

if held then
  -- Another worker had this call: its task was delivered again because it died.
  presume_dead(call)
  redis.call('ZREM', KEYS[6], call)
  redis.call('ZREM', KEYS[7], call)
end
for _, silent in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  presume_dead(silent)
end

local function wait(reason, wait_us)
  wait_us = math.ceil(math.max(wait_us, 1000))
  if place == 0 then
    place = redis.call('INCR', KEYS[14])
    redis.call('EXPIRE', KEYS[14], STATE_TTL_S)
  end
  keep_place(mailbox, {
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
local open, ramp_us = 1, 0
for i = 2, 3 do
  local ends, ramp = string.match(state[i] or '', '^(%d+) (%d+)$')
  if ends and now < tonumber(ends) then
    return wait('pause', tonumber(ends) - now)
  elseif ends and now < tonumber(ends) + tonumber(ramp) then
    open, ramp_us = math.min(open, (now - tonumber(ends)) / tonumber(ramp)), tonumber(ramp)
  end
end

local reserved, settled = 0, 0
if max_cost >= 0 then
  for _, who in ipairs({'generate', 'judge', 'eval'}) do
    local sums = redis.call('HMGET', KEYS[1], 'reserved:' .. who, 'spent:' .. who,
      'estimated:' .. who, 'perhaps:' .. who)
    reserved = reserved + tonumber(sums[1] or 0)
    settled = settled + tonumber(sums[2] or 0) + tonumber(sums[3] or 0) + tonumber(sums[4] or 0)
  end
  -- A call that may cost nothing still needs a budget that is not used up.
  if settled + reserved + math.max(ceiling, 1) > max_cost then
    if reserved > 0 then
      return wait('budget', until_expiry(KEYS[2]))
    end
    return {'exhausted', text(settled)}
  end
end

redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now)
local in_flight, of_model = redis.call('ZCARD', KEYS[6]), redis.call('ZCARD', KEYS[7])
local learnt = tonumber(redis.call('HGET', KEYS[13], 'limit') or ARGV[15])
local limit = math.max(1, math.floor(math.min(learnt, max_inflight) * open))

-- Whoever came before and waits for the same goes first. Those who wait for a pause, for dollars or
-- for another model's permit hold nobody up.
local heads, ahead, ahead_of_model = heads_in_line(now_ms, mailbox), 0, 0
for _, head in ipairs(heads) do
  local entry = head.entry
  local earlier = place == 0 or entry.place < place
  local rival = entry.reason == 'account' or entry.reason == 'rpm' or entry.reason == 'tpm'
  if earlier and (rival or (entry.reason == 'model' and entry.model == model)) then
    ahead = ahead + 1
    ahead_of_model = ahead_of_model + (entry.model == model and 1 or 0)
  end
end
if of_model + ahead_of_model >= limit then
  local step = open < 1 and ramp_us / math.max(1, math.min(learnt, max_inflight)) or longest_wait
  return wait('model', math.min(step, until_expiry(KEYS[7])))
end
if in_flight + ahead >= max_inflight then
  return wait('account', until_expiry(KEYS[6]))
end

-- When the next call may leave (us from now, <= 0: now), and what the state is if it does.
local function rate(paid_off, per_minute, amount, burst)
  local cost = amount * MINUTE_US / per_minute
  local ahead_us = math.max(0, tonumber(paid_off or 0) - now)
  local wait_us = ahead_us + cost * (1 + ahead) - math.max(burst * MINUTE_US / per_minute, cost)
  return wait_us, now + ahead_us + cost
end

local requests_due, tokens_due
if max_rpm > 0 then
  local wait_us, due = rate(state[4], max_rpm, 1, math.max(1, math.floor(max_rpm / SECONDS)))
  if wait_us > 0 then
    return wait('rpm', wait_us)
  end
  requests_due = due
end
if max_tpm > 0 then
  local wait_us, due = rate(state[5], max_tpm, tokens, max_tpm / SECONDS)
  if wait_us > 0 then
    return wait('tpm', wait_us)
  end
  tokens_due = due
end

local function pay(key, due)
  if due then
    redis.call('SET', key, text(due), 'PX', text(math.ceil((due - now) / 1000) + 1000))
  end
end
pay(KEYS[11], requests_due)
pay(KEYS[12], tokens_due)
for i = 6, 7 do
  redis.call('ZADD', KEYS[i], text(now + lifetime), call)
  redis.call('EXPIRE', KEYS[i], STATE_TTL_S)
end
reserve(call, now + lifetime, {
  role, ARGV[9], text(now), text(of_model + 1), ARGV[11], ARGV[8], ARGV[13], owner,
})
if place > 0 then
  redis.call('HDEL', KEYS[5], mailbox)
end
-- One settlement wakes one head; if there is room for more, each wakes the next.
if in_flight + 1 < max_inflight then
  wake_first(heads, now_ms, function(entry)
    return entry.reason == 'account' or (entry.reason == 'model' and entry.model == model
      and of_model + 1 < limit)
  end)
end
if settled + reserved + 2 * ceiling <= max_cost then
  wake_first(heads, now_ms, function(entry)
    return entry.reason == 'budget' and entry.run == run
  end)
end
return {'admitted'}
