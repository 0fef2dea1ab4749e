-- Burns a ticket and what a proof burns of a factor, and leaves grants: all of it or nothing.
-- KEYS: the factors of a subject, its grants, their ends, the ticket if there is one.
-- ARGV: now, what is burned ('none', 'advance', 'use-up', 'presence'), factor, mark, seconds that the ticket is kept,
--       seconds that the grants are kept at least, then for each grant: id, end, uses ('': any number), text.
local factors, grants, ends, ticket = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, burn, factor, mark, lives = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
if ticket and redis.call('EXISTS', ticket) == 1 then
  return 'ticket-used'
end
if burn ~= 'none' then
  local kept = redis.call('HMGET', factors, 'mark:' .. factor, 'confirmed:' .. factor)
  if kept[2] ~= '1' then
    return 'factor-gone'
  end
  if burn == 'advance' then
    if tonumber(mark) <= tonumber(kept[1]) then
      return 'mark-used'
    end
    redis.call('HSET', factors, 'mark:' .. factor, mark)
  elseif burn == 'use-up' then
    for _, part in ipairs({'kind:', 'confirmed:', 'mark:', 'name:', 'text:'}) do
      redis.call('HDEL', factors, part .. factor)
    end
  end
end
if ticket then
  redis.call('SET', ticket, '', 'EX', ARGV[5])
end
-- What has ended goes, so that the grants of a busy subject do not grow without end.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('HDEL', grants, 'text:' .. id, 'uses:' .. id)
  redis.call('ZREM', ends, id)
end
for index = 7, #ARGV, 4 do
  local id, uses = ARGV[index], ARGV[index + 2]
  redis.call('ZADD', ends, ARGV[index + 1], id)
  redis.call('HSET', grants, 'text:' .. id, ARGV[index + 3])
  if uses ~= '' then
    redis.call('HSET', grants, 'uses:' .. id, uses)
  end
end
if #ARGV > 6 and redis.call('TTL', grants) < lives then
  redis.call('EXPIRE', grants, lives)
  redis.call('EXPIRE', ends, lives)
end
return 'done'
