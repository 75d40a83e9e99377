-- Keeps a lease and its slots. One that nobody remembers (it was lost with the store's memory) gets slots again.

local record = redis.call('GET', KEYS[1])
if record == '' then return 0 end
if record then redis.call('PEXPIRE', KEYS[1], RECORD_MS) end
for i, dimension in ipairs(cmsgpack.unpack(ARGV[2])) do
  if dimension[KIND] == 'concurrent' then
    local life = dimension[WINDOW] * 1000
    redis.call('ZADD', KEYS[i + 1], clock() + life, KEYS[1])
    redis.call('PEXPIRE', KEYS[i + 1], life)
  end
end
return 1
