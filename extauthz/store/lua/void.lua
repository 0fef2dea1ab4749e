-- Marks a subject as revoked, for whoever leaves grants, and forgets the grants that go with it; returns how many of
-- them were still good. Goes on from widen.lua.
-- KEYS: the grants of the subject, their ends, its marks, each 'at until'.
-- ARGV: now, seconds that clocks may be behind, the mark ('block', 'tokens', 'session:…', '' for none), at, until, which
--       grants go ('none', 'all', or the session that their texts name).
local grants, ends, marks = KEYS[1], KEYS[2], KEYS[3]
local now, skew, mark, at, ends_at = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
if mark ~= '' then
  at, ends_at = widened(redis.call('HGET', marks, mark), now, at, ends_at)
  redis.call('HSET', marks, mark, at .. ' ' .. ends_at)
end
local last, fields = now, redis.call('HGETALL', marks)
for index = 1, #fields, 2 do
  local ended = tonumber(string.match(fields[index + 1], '(%S+)$'))
  if ended + skew <= now then
    redis.call('HDEL', marks, fields[index])
  end
  last = math.max(last, ended)
end
redis.call('EXPIRE', marks, math.min(math.ceil(last - now + skew), 1e9))
local good = 0
if ARGV[6] ~= 'none' then
  local kept = redis.call('HGETALL', grants)
  for index = 1, #kept, 2 do
    local id = string.match(kept[index], '^text:(.*)$')
    if id and (ARGV[6] == 'all' or string.match(kept[index + 1], '^%S+ (%S+) ') == ARGV[6]) then
      local ended = redis.call('ZSCORE', ends, id)
      if ended and tonumber(ended) > now and redis.call('HGET', grants, 'uses:' .. id) ~= '0' then
        good = good + 1
      end
      redis.call('HDEL', grants, 'text:' .. id, 'uses:' .. id)
      redis.call('ZREM', ends, id)
    end
  end
end
return good
