-- Lets a signal hold, unless what is in force of the same key is as new (`Signal.follows`), and leaves a mark of the
-- change; returns whether it does.
-- KEYS: the revocations, their ends, the changes, the marks. ARGV: now, up to when what has ended is forgotten, the key,
--       at, until, rank, content, a random tag, how many changes are remembered.
local kept, ends, changes, marks = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', ARGV[2], 'LIMIT', 0, 100)) do
  redis.call('HDEL', kept, ended)
  redis.call('ZREM', ends, ended)
end
local key, at, rank, content = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[6]), ARGV[7]
local known_at, known_end, known_rank, known = string.match(redis.call('HGET', kept, key) or '', '^(%S+) (%S+) (%S+) (.*)$')
if known_at and tonumber(known_end) > tonumber(ARGV[1]) then
  known_at, known_rank = tonumber(known_at), tonumber(known_rank)
  local older = at < known_at or (at == known_at and rank < known_rank)
  if older or (at == known_at and rank == known_rank and content <= known) then
    return 0
  end
end
redis.call('HSET', kept, key, ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6] .. ' ' .. content)
redis.call('ZADD', ends, ARGV[5], key)
local newest = redis.call('ZREVRANGE', marks, 0, 0, 'WITHSCORES')
local number = tonumber(newest[2] or 0) + 1
redis.call('ZADD', marks, number, string.format('%d-%s', number, ARGV[8]))
redis.call('ZADD', changes, number, key)
local excess = number - tonumber(ARGV[9])
redis.call('ZREMRANGEBYSCORE', marks, '-inf', '(' .. excess)
redis.call('ZREMRANGEBYSCORE', changes, '-inf', excess)
return 1
