-- Lists an approval where all subjects' are found; before it is written under everything that it may be, and afterwards
-- under what it is, unless a later version is listed already.
-- KEYS: all by age, where each is ('tag version'), when the clerk has something to do, those pending, those unreviewed,
--       when each is forgotten.
-- ARGV: 'before' or 'after', now, the id, its tag, version, when it was opened, when it is due or '', whether it is
--       pending ('1' or ''), whether it is unreviewed, when it is forgotten ('': as known), seconds that all of this is kept at least.
local ages, places, dues, pending, unreviewed, ends = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, version, due_at = ARGV[3], tonumber(ARGV[5]), ARGV[7]
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', ARGV[2], 'LIMIT', 0, 100)) do
  redis.call('HDEL', places, gone)
  for _, list in ipairs({ages, dues, pending, unreviewed, ends}) do
    redis.call('ZREM', list, gone)
  end
end
local known = tonumber(string.match(redis.call('HGET', places, id) or '', ' (%S+)$') or 0)
if ARGV[1] == 'after' then
  if known > version then
    -- Somebody is writing it, or has died over that: then it is due in vain until it is forgotten.
    redis.call('ZADD', dues, 'XX', tonumber(ARGV[2]) + 5, id)
    return 0
  end
  if due_at ~= '' then
    redis.call('ZADD', dues, due_at, id)
  else
    redis.call('ZREM', dues, id)
  end
  if ARGV[8] == '' then
    redis.call('ZREM', pending, id)
  end
  if ARGV[9] == '' then
    redis.call('ZREM', unreviewed, id)
  end
else
  redis.call('HSET', places, id, ARGV[4] .. ' ' .. string.format('%d', math.max(known, version)))
  redis.call('ZADD', ages, ARGV[6], id)
  if due_at ~= '' then
    redis.call('ZADD', dues, 'NX', due_at, id)
  end
  if ARGV[8] ~= '' then
    redis.call('ZADD', pending, ARGV[6], id)
  end
  if ARGV[9] ~= '' then
    redis.call('ZADD', unreviewed, ARGV[6], id)
  end
end
if ARGV[10] ~= '' then
  local ended = redis.call('ZSCORE', ends, id)
  if ARGV[1] == 'after' or not ended or tonumber(ended) < tonumber(ARGV[10]) then
    redis.call('ZADD', ends, ARGV[10], id)
  end
end
for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) < tonumber(ARGV[11]) then
    redis.call('EXPIRE', key, ARGV[11])
  end
end
return 1
