-- Burns a ticket and what a proof burns of a factor, and leaves grants: all of it or nothing.
-- KEYS: the factors of a subject, its grants, their ends, its marks of what is revoked ('at until'), the ticket if there
--       is one.
-- ARGV: now, what is burned ('none', 'advance', 'use-up', 'presence'), factor, mark, seconds that the ticket is kept,
--       seconds that the grants are kept at least, how many there may be, since when the subject's tokens are that this
--       rests on, then for each grant: id, end, uses ('': any number), text.
local factors, grants, ends, marks, ticket = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now, burn, factor, mark, lives = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local new = (#ARGV - 8) / 4
local function revoked_at(what)
  local at, ended = string.match(redis.call('HGET', marks, what) or '', '^(%S+) (%S+)$')
  return at and tonumber(ended) > tonumber(now) and tonumber(at)
end
if revoked_at('block') then
  return 'blocked'
end
local tokens_at = revoked_at('tokens')
if tokens_at and tonumber(ARGV[8]) <= tokens_at then
  return 'revoked'
end
for index = 9, #ARGV, 4 do
  if revoked_at('session:' .. string.match(ARGV[index + 3], '^%S+ (%S+) ')) then
    return 'revoked'
  end
end
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
if new == 0 then
  return 'done'
end
local function forget(id)
  redis.call('HDEL', grants, 'text:' .. id, 'uses:' .. id)
  redis.call('ZREM', ends, id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
  forget(id)
end
local excess = redis.call('ZCARD', ends) + new - tonumber(ARGV[7])
if excess > 0 then
  local old, fields, uses = {}, redis.call('HGETALL', grants), {}
  for index = 1, #fields, 2 do
    local part, id = string.match(fields[index], '^(%a+):(.*)$')
    if part == 'uses' then
      uses[id] = fields[index + 1]
    else
      old[#old + 1] = {id = id, at = tonumber(string.match(fields[index + 1], '^(%S+) '))}
    end
  end
  table.sort(old, function(one, other)
    local one_is_used, other_is_used = uses[one.id] == '0', uses[other.id] == '0'
    if one_is_used ~= other_is_used then
      return one_is_used
    end
    if one.at ~= other.at then
      return one.at < other.at
    end
    return one.id < other.id
  end)
  for index = 1, math.min(excess, #old) do
    forget(old[index].id)
  end
end
for index = 9, #ARGV, 4 do
  local id, uses = ARGV[index], ARGV[index + 2]
  redis.call('ZADD', ends, ARGV[index + 1], id)
  redis.call('HSET', grants, 'text:' .. id, ARGV[index + 3])
  if uses ~= '' then
    redis.call('HSET', grants, 'uses:' .. id, uses)
  end
end
if redis.call('TTL', grants) < lives then
  redis.call('EXPIRE', grants, lives)
  redis.call('EXPIRE', ends, lives)
end
return 'done'
