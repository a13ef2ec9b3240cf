-- The line in which heads wait: of each process, run and model only the first waiter asks. It keeps
-- order between processes, so that a busy one does not take every permit that it gives back itself.
-- Put before the scripts that use it, after ledger.lua.  KEYS 5, the same in each: line.
-- An entry: mailbox -> place, until (ms; later it counts as gone), since (ms), reason, run, model, woken.

-- What a head that was woken, or whose wait is over, may be late before others pass it.
local GRACE_MS = 500
local MAILBOX_TTL_MS = 10000
local LINE_TTL_S = 3600

local function keep_place(mailbox, now_ms, entry)
  entry.since_ms = now_ms
  redis.call('HSET', KEYS[5], mailbox, cjson.encode(entry))
  redis.call('EXPIRE', KEYS[5], LINE_TTL_S)
end

-- The heads that are alive, first come first, without the one who asks.
local function heads_in_line(now_ms, asking)
  local heads, flat = {}, redis.call('HGETALL', KEYS[5])
  for i = 1, #flat, 2 do
    local head = cjson.decode(flat[i + 1])
    local put_back_ms = math.max(0, (head.since_ms or now_ms) - now_ms)
    if put_back_ms > 0 then
      head.until_ms = head.until_ms - put_back_ms
      keep_place(flat[i], now_ms, head)
    end
    if head.until_ms <= now_ms then
      redis.call('HDEL', KEYS[5], flat[i])
    elseif flat[i] ~= asking then
      heads[#heads + 1] = {mailbox = flat[i], entry = head}
    end
  end
  table.sort(heads, function(one, other) return one.entry.place < other.entry.place end)
  return heads
end

-- Heads of the process that runs the script hear it from the answer, if it says whose they are.
local own, told = nil, {}

local function call_up(head, now_ms)
  head.entry.woken = true
  head.entry.until_ms = now_ms + GRACE_MS
  keep_place(head.mailbox, now_ms, head.entry)
  if own and string.find(head.mailbox, ':' .. own .. ':', 1, true) then
    told[#told + 1] = head.mailbox
    return
  end
  redis.call('RPUSH', head.mailbox, 'wake')
  redis.call('PEXPIRE', head.mailbox, MAILBOX_TTL_MS)
end

-- Wake the first head that `fits` and was not woken yet.
local function wake_first(heads, now_ms, fits)
  for _, head in ipairs(heads) do
    if not head.entry.woken and fits(head.entry) then
      return call_up(head, now_ms)
    end
  end
end

-- Whether a permit of this model would help.
local function waits_for_permit(model)
  return function(entry)
    return entry.reason == 'account' or (entry.reason == 'model' and entry.model == model)
  end
end
