-- Since when this node remembers: {the server's time then, milliseconds from then to now}. Who asks first sets
-- the mark KEYS[1], which goes with everything else that the node forgets.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[1], now, 'NX')
local since = tonumber(redis.call('GET', KEYS[1]))
return { since, now - since }
