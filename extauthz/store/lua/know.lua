-- Lets a limiter know a holder from now on, with nothing counted; the one goes whose last right code is the oldest.
-- KEYS: the known holders, each 'locked_until empty_at known_until'. ARGV: the holder, until when, seconds that is,
--       how many are known at the most.
local holders = KEYS[1]
redis.call('HSET', holders, ARGV[1], '0 0 ' .. ARGV[2])
redis.call('EXPIRE', holders, ARGV[3])
local known = {}
local fields = redis.call('HGETALL', holders)
for index = 1, #fields, 2 do
  known[#known + 1] = {fields[index], tonumber(string.match(fields[index + 1], '(%S+)$'))}
end
table.sort(known, function(one, other) return one[2] > other[2] end)
for index = tonumber(ARGV[4]) + 1, #known do
  redis.call('HDEL', holders, known[index][1])
end
return 1
