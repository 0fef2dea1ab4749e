-- Revokes this no more, and leaves a mark of the change; returns until when it was in force, '' if it was not there.
-- KEYS: the revocations, their ends, the changes, the marks. ARGV: the key, a random tag, how many changes are remembered.
local kept, ends, changes, marks, key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local known_end = string.match(redis.call('HGET', kept, key) or '', '^%S+ (%S+) ')
if not known_end then
  return {''}
end
redis.call('HDEL', kept, key)
redis.call('ZREM', ends, key)
local newest = redis.call('ZREVRANGE', marks, 0, 0, 'WITHSCORES')
local number = tonumber(newest[2] or 0) + 1
redis.call('ZADD', marks, number, string.format('%d-%s', number, ARGV[2]))
redis.call('ZADD', changes, number, key)
local excess = number - tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', marks, '-inf', '(' .. excess)
redis.call('ZREMRANGEBYSCORE', changes, '-inf', excess)
return {known_end}
