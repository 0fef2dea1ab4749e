-- Remembers what requests of a subject leave behind; returns the names of the baselines that somebody else has changed
-- meanwhile, to which nothing was added.
-- KEYS: when each key was seen, the baselines, when something was added to each, where the subject was ('at …'), when
--       each signal was raised.
-- ARGV: seconds that is kept what was seen, the baselines, the place, what was raised; how many there may be of what was
--       seen, of baselines, of what was raised; where the subject was now ('': nowhere), how many baselines there are,
--       how many were seen, then for each baseline: name, as it was ('': not there), as it is, at; for each seen: name,
--       at; for each raised: name, at.
local seen, sketches, ages, place, raised = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local changed, index = {}, 11
local function put_last(key, name, at, most, kept)
  local before = redis.call('ZSCORE', key, name)
  if not before or tonumber(before) < tonumber(at) then
    redis.call('ZADD', key, at, name)
  end
  redis.call('ZREMRANGEBYRANK', key, 0, -tonumber(most) - 1)
  redis.call('EXPIRE', key, kept)
end
for _ = 1, tonumber(ARGV[9]) do
  local name, before, after, at = ARGV[index], ARGV[index + 1], ARGV[index + 2], ARGV[index + 3]
  index = index + 4
  if (redis.call('HGET', sketches, name) or '') == before then
    redis.call('HSET', sketches, name, after)
    redis.call('ZADD', ages, at, name)
  else
    changed[#changed + 1] = name
  end
end
if tonumber(ARGV[9]) > 0 then
  local excess = redis.call('ZCARD', ages) - tonumber(ARGV[6])
  if excess > 0 then
    for _, name in ipairs(redis.call('ZRANGE', ages, 0, excess - 1)) do
      redis.call('HDEL', sketches, name)
      redis.call('ZREM', ages, name)
    end
  end
  redis.call('EXPIRE', sketches, ARGV[2])
  redis.call('EXPIRE', ages, ARGV[2])
end
for _ = 1, tonumber(ARGV[10]) do
  put_last(seen, ARGV[index], ARGV[index + 1], ARGV[5], ARGV[1])
  index = index + 2
end
while ARGV[index] do
  put_last(raised, ARGV[index], ARGV[index + 1], ARGV[7], ARGV[4])
  index = index + 2
end
if ARGV[8] ~= '' then
  local before = string.match(redis.call('GET', place) or '', '^(%S+)')
  if not before or tonumber(before) <= tonumber(string.match(ARGV[8], '^(%S+)')) then
    redis.call('SET', place, ARGV[8], 'EX', ARGV[3])
  end
end
return changed
