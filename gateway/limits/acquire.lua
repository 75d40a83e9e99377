-- Reserves in every dimension or in none, and remembers it in the lease's record.
-- Answers {what, index, wait}, then `remaining` and `reset` of each dimension. What: 1 granted, 0 refused by
-- the dimension with that index (wait -1: it never can be), 2 the budget with that index must be seeded, from
-- the ledger up to the time that stands in the place of `wait`.
local REFUSED, SEED, NEVER = 0, 2, -1

local record = redis.call('GET', KEYS[1])
if record == '' then return { REFUSED, 0, 0 } end
if record then return cmsgpack.unpack(record).answer end
local now = clock()

-- Each kind of counter: `look` at it, `wait` for room, `take` the cost and tell the bucket, time to `reset`.
local window = { look = look_at_window }

function window.wait(counter, key, dimension, excess)
  local found, freed, bucket = buckets_of(key), 0, counter.last
  table.sort(found, function(a, b) return a.bucket < b.bucket end)
  for _, entry in ipairs(found) do
    freed, bucket = freed + entry.amount, entry.bucket
    if freed >= excess then break end
  end
  return bucket_leaves(dimension, bucket) - now
end

function window.take(counter, key, dimension)
  book_in_window(key, dimension, counter, dimension[COST])
  return counter.current
end

function window.reset(counter, _, dimension)
  return bucket_leaves(dimension, counter.last) - now
end

-- A sorted set of open leases by when they end by themselves.
local slots = {}

local function lease_ms(dimension)
  return dimension[WINDOW] * 1000
end

function slots.look(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return { used = redis.call('ZCARD', key) }
end

function slots.wait(_, key)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  return math.min(SLOT_RETRY_MS, tonumber(first[2]) - now)
end

function slots.take(counter, key, dimension)
  redis.call('ZADD', key, now + lease_ms(dimension), KEYS[1])
  redis.call('PEXPIRE', key, lease_ms(dimension))
  counter.used, counter.taken = counter.used + 1, true
  return 0
end

function slots.reset(counter, key, dimension)
  if counter.taken then return lease_ms(dimension) end
  return tonumber(redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]) - now
end

local budget = {}

function budget.look(key, dimension)
  local state = redis.call('HMGET', key, 'spent', 'held')
  if not state[1] then return { from = begin_budget(key, dimension, now) } end
  return { used = tonumber(state[1]) + (tonumber(state[2]) or 0) }
end

function budget.wait(_, _, dimension)
  return math.ceil(dimension[WINDOW] * 1000)
end

function budget.take(counter, key, dimension)
  redis.call('HINCRBY', key, 'held', dimension[COST])
  counter.used = counter.used + dimension[COST]
  return 0
end

budget.reset = budget.wait

local kinds = { window = window, concurrent = slots, budget = budget }
local dimensions, counters = cmsgpack.unpack(ARGV[2]), {}
local denied, wait = nil, 0
for i, dimension in ipairs(dimensions) do
  local key, kind = KEYS[i + 1], kinds[dimension[KIND]]
  local counter = kind.look(key, dimension, now)
  if not counter.used then return { SEED, i - 1, counter.from } end
  counters[i] = counter
  local excess = counter.used + dimension[COST] - dimension[LIMIT]
  if dimension[COST] > 0 and excess > 0 then
    denied = denied or i - 1
    if dimension[COST] > dimension[LIMIT] then
      wait = NEVER
    elseif wait ~= NEVER then
      wait = math.max(wait, kind.wait(counter, key, dimension, excess))
    end
  end
end

local answer = { denied and REFUSED or GRANTED, denied or 0, wait }
local costs, buckets = {}, {}
for i, dimension in ipairs(dimensions) do
  local key, kind, counter = KEYS[i + 1], kinds[dimension[KIND]], counters[i]
  if not denied then
    costs[i] = dimension[COST]
    buckets[i] = dimension[COST] > 0 and kind.take(counter, key, dimension) or 0
  end
  answer[#answer + 1] = dimension[LIMIT] - counter.used
  answer[#answer + 1] = counter.used > 0 and kind.reset(counter, key, dimension) or 0
end
if not denied then
  local lease = { answer = answer, costs = costs, buckets = buckets, keys = { unpack(KEYS, 2) } }
  redis.call('SET', KEYS[1], cmsgpack.pack(lease), 'PX', RECORD_MS)
end
return answer
