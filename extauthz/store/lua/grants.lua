-- Begins scripts that leave grants. Each grant is four arguments: id, end, uses ('': any number), text.

-- What stands against leaving the grants from `first` to `last`: 'blocked', 'revoked', or nothing.
local function bar(marks, now, since, first, last)
  local function revoked_at(what)
    local at, ended = string.match(redis.call('HGET', marks, what) or '', '^(%S+) (%S+)$')
    return at and tonumber(ended) > now and tonumber(at)
  end
  if revoked_at('block') then
    return 'blocked'
  end
  local tokens_at = revoked_at('tokens')
  if tokens_at and tonumber(since) <= tokens_at then
    return 'revoked'
  end
  for index = first, last, 4 do
    if revoked_at('session:' .. string.match(ARGV[index + 3], '^%S+ (%S+) ')) then
      return 'revoked'
    end
  end
end

local function take_back(grants, ends, id)
  redis.call('HDEL', grants, 'text:' .. id, 'uses:' .. id)
  redis.call('ZREM', ends, id)
end

-- Leaves them, `most` together with older ones, and keeps all for `lives` seconds at least.
local function leave(grants, ends, now, first, last, most, lives)
  if last < first then
    return
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', now)) do
    take_back(grants, ends, id)
  end
  local excess = redis.call('ZCARD', ends) + (last - first + 1) / 4 - most
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
      take_back(grants, ends, old[index].id)
    end
  end
  for index = first, last, 4 do
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
end
