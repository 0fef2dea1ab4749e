-- Revokes, together with what was in force of the same key (`Revocation.widened`), and leaves a mark of the change;
-- returns since when and until when. Goes on from widen.lua.
-- KEYS: the revocations, their ends, the changes, the marks. ARGV: now, up to when what has ended is forgotten, the key,
--       at, until, subject, a random tag, how many changes are remembered.
local kept, ends, changes, marks = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', ARGV[2], 'LIMIT', 0, 100)) do
  redis.call('HDEL', kept, ended)
  redis.call('ZREM', ends, ended)
end
local key = ARGV[3]
local at, ends_at = widened(redis.call('HGET', kept, key), tonumber(ARGV[1]), ARGV[4], ARGV[5])
redis.call('HSET', kept, key, at .. ' ' .. ends_at .. ' ' .. ARGV[6])
redis.call('ZADD', ends, ends_at, key)
local newest = redis.call('ZREVRANGE', marks, 0, 0, 'WITHSCORES')
local number = tonumber(newest[2] or 0) + 1
redis.call('ZADD', marks, number, string.format('%d-%s', number, ARGV[7]))
redis.call('ZADD', changes, number, key)
local excess = number - tonumber(ARGV[8])
redis.call('ZREMRANGEBYSCORE', marks, '-inf', '(' .. excess)
redis.call('ZREMRANGEBYSCORE', changes, '-inf', excess)
return {at, ends_at}
