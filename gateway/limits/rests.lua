-- What processes tell each other of targets that are shut. KEYS[1]: a hash, target -> {until, kind, openings}.
-- ARGV[1]: rests to add (msgpack), each {target, kind, openings, milliseconds}; ARGV[2]: those to take back, each
-- {target, until}. Gives all that hold: {target, kind, openings, milliseconds, until}. The clock is the server's.
local key, time = KEYS[1], redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local function known(target)
  local found = redis.call('HGET', key, target)
  return found and cmsgpack.unpack(found)
end

for _, over in ipairs(cmsgpack.unpack(ARGV[2])) do
  local rest = known(over[1])
  if rest and rest[1] == over[2] then redis.call('HDEL', key, over[1]) end
end

for _, new in ipairs(cmsgpack.unpack(ARGV[1])) do
  local rest, till = known(new[1]), now + new[4]
  if not rest or rest[1] < till then
    redis.call('HSET', key, new[1], cmsgpack.pack({ till, new[2], new[3] }))
  end
end

local all, last, held = redis.call('HGETALL', key), now, {}
for i = 1, #all, 2 do
  local rest = cmsgpack.unpack(all[i + 1])
  if rest[1] <= now then
    redis.call('HDEL', key, all[i])
  else
    last = math.max(last, rest[1])
    held[#held + 1] = { all[i], rest[2], rest[3], rest[1] - now, rest[1] }
  end
end
if #held > 0 then redis.call('PEXPIREAT', key, last) end
return held
