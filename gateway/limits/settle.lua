-- Books what was used instead of what a lease reserved, once. A lease that nobody remembers held nothing.
-- ARGV[3] (msgpack): the date of the charge in the ledger, in seconds, the amounts, and whether what is spent is noted
-- until somebody says that the ledger has it: in a hash beside the budgets, by lease.

local record = redis.call('GET', KEYS[1])
if record == '' then return 0 end
local lease = record and cmsgpack.unpack(record) or { costs = {}, buckets = {} }
local at, actuals, noting = unpack(cmsgpack.unpack(ARGV[3]))
local noted = { at = at, costs = {}, keys = {} }
local now = clock()

-- A refund goes to the bucket that was booked, while that counts; an excess is booked now.
local function settle_window(key, dimension, held, actual, bucket)
  local window = look_at_window(key, dimension, now)
  if actual > held then return book_in_window(key, dimension, window, actual - held) end
  local booked = bucket and tonumber(redis.call('HGET', key, bucket)) or 0
  local refund = math.min(held - actual, booked)
  if refund > 0 then redis.call('HSET', key, bucket, booked - refund, 'sum', window.used - refund) end
end

-- What the ledger may have been asked for already is not counted again.
local function settle_budget(key, dimension, held, actual, bucket)
  local budget = redis.call('HMGET', key, 'spent', 'from')
  local from = tonumber(budget[2]) or 0
  if not budget[1] then from = begin_budget(key, dimension, now) end
  if held > 0 then redis.call('HINCRBY', key, 'held', -held) end
  if bucket == UNKNOWN and at < from / 1000 then return end
  redis.call('HINCRBY', key, budget[1] and 'spent' or 'late', actual)
  if actual > 0 then
    noted.keys[#noted.keys + 1], noted.costs[#noted.costs + 1] = key, actual
  end
end

for i, dimension in ipairs(cmsgpack.unpack(ARGV[2])) do
  local key, held, actual = KEYS[i + 1], lease.costs[i] or 0, actuals[i]
  if dimension[KIND] == 'window' then
    if actual ~= held then settle_window(key, dimension, held, actual, lease.buckets[i]) end
  elseif dimension[KIND] == 'concurrent' then
    redis.call('ZREM', key, KEYS[1])
  else
    settle_budget(key, dimension, held, actual, record and lease.buckets[i] or UNKNOWN)
  end
end
if noting and #noted.keys > 0 then
  local place, name = string.match(KEYS[1], '^(.-}):l:(.*)$')
  redis.call('HSET', place .. ':u', name, cmsgpack.pack(noted))
  redis.call('PEXPIRE', place .. ':u', RECORD_MS)
end
redis.call('SET', KEYS[1], '', 'PX', SETTLED_MS)
return 1
