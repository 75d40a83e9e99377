-- What stands in front of acquire.lua, settle.lua and renew.lua; RECORD_MS and the like come from Python.
-- KEYS: the lease's record, then one counter for each dimension. ARGV: a test's clock or '', then the
-- dimensions (msgpack), each a list of these fields:
local KIND, LIMIT, COST, WINDOW, BUCKETS = 1, 2, 3, 4, 5
-- Amounts are whole numbers below 2^53, the window is in seconds, all other times are in milliseconds.

-- The time: the server's own, so that no client's clock matters.
local function clock()
  if ARGV[1] ~= '' then return tonumber(ARGV[1]) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- A window is a hash: an amount for each bucket of time, their `sum`, the bucket it was `cleaned` in last and
-- the `last` one booked in. The buckets of the window and one more count: no trailing window can hold more.
local function bucket_size(dimension)
  return dimension[WINDOW] * 1000 / dimension[BUCKETS]
end

local function bucket_leaves(dimension, bucket)
  return math.ceil((bucket + dimension[BUCKETS] + 1) * bucket_size(dimension))
end

local function buckets_of(key)
  local found = {}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local bucket = tonumber(fields[i])
    if bucket then found[#found + 1] = { bucket = bucket, amount = tonumber(fields[i + 1]) } end
  end
  return found
end

local function clean_window(key, oldest, sum)
  local old = {}
  for _, found in ipairs(buckets_of(key)) do
    if found.bucket < oldest then
      sum = sum - found.amount
      old[#old + 1] = found.bucket
    end
  end
  if #old > 0 then redis.call('HDEL', key, unpack(old)) end
  return sum
end

-- What counts now (`used`), what was booked in the bucket of now (`here`), and the `last` bucket booked in.
local function look_at_window(key, dimension, now)
  local current = math.floor(now / bucket_size(dimension))
  local state = redis.call('HMGET', key, 'sum', 'cleaned', 'last', current)
  local sum = tonumber(state[1]) or 0
  if state[2] and tonumber(state[2]) ~= current then
    sum = clean_window(key, current - dimension[BUCKETS], sum)
    redis.call('HSET', key, 'sum', sum, 'cleaned', current)
  end
  return { used = sum, current = current, here = tonumber(state[4]), last = tonumber(state[3]) }
end

-- Books in the bucket of now. A window lives on while one of its buckets counts.
local function book_in_window(key, dimension, window, amount)
  local current, here = window.current, (window.here or 0) + amount
  window.used = window.used + amount
  window.last = current
  redis.call('HSET', key, current, here, 'sum', window.used, 'last', current, 'cleaned', current)
  if not window.here then
    redis.call('PEXPIRE', key, math.ceil(dimension[WINDOW] * 1000 + 2 * bucket_size(dimension)))
  end
end

-- A budget is a hash of what was `spent` and what is `held`. Until the ledger was asked there is no `spent`, and
-- what is spent meanwhile is `late`: the budget counts `from` when it was first heard of, the ledger up to then.
local function begin_budget(key, dimension, now)
  redis.call('HSETNX', key, 'from', now)
  redis.call('PEXPIRE', key, math.ceil(dimension[WINDOW] * 1000) + RECORD_MS)
  return tonumber(redis.call('HGET', key, 'from'))
end

local GRANTED = 1

-- In place of a bucket in a lease's record: the budget may have been seeded with what the lease is charged.
local UNKNOWN = -1
