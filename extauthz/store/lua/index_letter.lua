-- Lists a letter where those of all subjects are found.
-- KEYS: where each letter is ('tag listed_at sink'), the sinks, when those of its sink are to be looked at, how old they
--       are, those of its sink that are dead, those that nobody has seen there yet, or somebody has not seen there.
-- ARGV: what is known of it: 'new' (it will be there in a moment, if it is not there already), 'written' (it is there, or
--       was), 'missing' (it is not there, yet or any more), 'again' (it will wait again), 'waits', 'dead', 'gone', the id,
--       where it is, its sink, when it is to be looked at or has died, when happened what it tells of, seconds that all of
--       this is kept at least.
local places, sinks, waiting, ages, dead, unseen = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local what, id, at = ARGV[1], ARGV[2], ARGV[5]
if what == 'new' or what == 'again' then
  redis.call('HSETNX', places, id, ARGV[3])
  redis.call('SADD', sinks, ARGV[4])
  redis.call('ZADD', ages, ARGV[6], id)
  if what == 'new' then
    if redis.call('ZADD', waiting, 'NX', at, id) == 1 then
      redis.call('ZADD', unseen, at, id)
    end
  else
    redis.call('ZADD', waiting, at, id)
    redis.call('ZREM', dead, id)
  end
elseif what == 'missing' then
  if redis.call('ZSCORE', waiting, id) then
    redis.call('ZADD', waiting, at, id)
    redis.call('ZADD', unseen, at, id)
  end
elseif what == 'written' then
  redis.call('ZREM', unseen, id)
elseif what == 'waits' then
  redis.call('ZADD', waiting, 'XX', at, id)
  redis.call('ZREM', unseen, id)
elseif what == 'dead' then
  redis.call('ZADD', dead, at, id)
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', ages, id)
  redis.call('ZREM', unseen, id)
else
  redis.call('HDEL', places, id)
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', ages, id)
  redis.call('ZREM', dead, id)
  redis.call('ZREM', unseen, id)
end
for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) < tonumber(ARGV[7]) then
    redis.call('EXPIRE', key, ARGV[7])
  end
end
return 1
