-- Keeps a lease and its slots. One that nobody remembers (it was lost with the store's memory, or granted while
-- the store was away) holds again all that it held, whatever the limits say by now.

local record = redis.call('GET', KEYS[1])
if record == '' then return 0 end
local now, costs, buckets = clock(), {}, {}

local function hold_in_window(key, dimension)
  local window = look_at_window(key, dimension, now)
  book_in_window(key, dimension, window, dimension[COST])
  return window.current
end

local function hold_in_budget(key, dimension)
  if redis.call('HEXISTS', key, 'spent') == 0 then begin_budget(key, dimension, now) end
  redis.call('HINCRBY', key, 'held', dimension[COST])
end

for i, dimension in ipairs(cmsgpack.unpack(ARGV[2])) do
  local key, kind, cost = KEYS[i + 1], dimension[KIND], dimension[COST]
  costs[i], buckets[i] = cost, UNKNOWN
  if kind == 'concurrent' then
    local life = dimension[WINDOW] * 1000
    redis.call('ZADD', key, now + life, KEYS[1])
    redis.call('PEXPIRE', key, life)
  elseif not record and cost > 0 then
    if kind == 'window' then buckets[i] = hold_in_window(key, dimension) else hold_in_budget(key, dimension) end
  end
end
if record then
  redis.call('PEXPIRE', KEYS[1], RECORD_MS)
else
  local lease = { answer = { GRANTED, 0, 0 }, costs = costs, buckets = buckets, keys = { unpack(KEYS, 2) } }
  redis.call('SET', KEYS[1], cmsgpack.pack(lease), 'PX', RECORD_MS)
end
return 1
