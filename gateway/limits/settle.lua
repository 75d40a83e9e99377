-- Books what was used (ARGV[3], msgpack) instead of what a lease reserved, once. A lease that nobody
-- remembers held nothing.

local record = redis.call('GET', KEYS[1])
if record == '' then return 0 end
local lease = record and cmsgpack.unpack(record) or { costs = {}, buckets = {} }
local actuals = cmsgpack.unpack(ARGV[3])
local now = clock()

-- A refund goes to the bucket that was booked, while that counts; an excess is booked now.
local function settle_window(key, dimension, held, actual, bucket)
  local window = look_at_window(key, dimension, now)
  if actual > held then return book_in_window(key, dimension, window, actual - held) end
  local booked = bucket and tonumber(redis.call('HGET', key, bucket)) or 0
  local refund = math.min(held - actual, booked)
  if refund > 0 then redis.call('HSET', key, bucket, booked - refund, 'sum', window.used - refund) end
end

for i, dimension in ipairs(cmsgpack.unpack(ARGV[2])) do
  local key, held, actual = KEYS[i + 1], lease.costs[i] or 0, actuals[i]
  if dimension[KIND] == 'window' then
    if actual ~= held then settle_window(key, dimension, held, actual, lease.buckets[i]) end
  elseif dimension[KIND] == 'concurrent' then
    redis.call('ZREM', key, KEYS[1])
  else
    local budget = redis.call('HMGET', key, 'spent', 'held')
    if budget[1] then
      redis.call('HSET', key, 'spent', tonumber(budget[1]) + actual, 'held', (tonumber(budget[2]) or 0) - held)
    end
  end
end
redis.call('SET', KEYS[1], '', 'PX', SETTLED_MS)
return 1
