-- Tells a budget (KEYS[2]) what the ledger says, ARGV[3] (msgpack), unless it knows; beside it counts what was
-- spent since the date up to which the ledger was asked.
local dimension = cmsgpack.unpack(ARGV[2])[1]
local budget = redis.call('HMGET', KEYS[2], 'spent', 'late')
if budget[1] then return 0 end
redis.call('HSET', KEYS[2], 'spent', cmsgpack.unpack(ARGV[3])[1] + (tonumber(budget[2]) or 0))
redis.call('HDEL', KEYS[2], 'late')
redis.call('PEXPIRE', KEYS[2], math.ceil(dimension[WINDOW] * 1000) + RECORD_MS)
return 1
