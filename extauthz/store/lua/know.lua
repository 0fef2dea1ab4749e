-- Lets a limiter know a holder from now on; the one goes whose last right code is the oldest.
-- KEYS: the known holders, each 'locked_until empty_at known_until'. ARGV: the holder, until when, seconds that is,
--       how many are known at the most, now, memory, what becomes of its tally ('empty', 'back': the try that was
--       counted last comes out, 'kept').
local holders, now = KEYS[1], tonumber(ARGV[5])
local locked_until, empty_at, known = string.match(redis.call('HGET', holders, ARGV[1]) or '', '^(%S+) (%S+) (%S+)$')
local tally = '0 0'
if known and tonumber(known) > now and ARGV[7] ~= 'empty' then
  locked_until, empty_at = tonumber(locked_until), tonumber(empty_at)
  if ARGV[7] == 'back' then
    locked_until, empty_at = 0, empty_at - tonumber(ARGV[6])
  end
  if empty_at > now then
    tally = string.format('%.17g %.17g', locked_until, empty_at)
  end
end
redis.call('HSET', holders, ARGV[1], tally .. ' ' .. ARGV[2])
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
