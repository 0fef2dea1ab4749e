-- Lists a device of a subject, in the place of the same one; when it was first seen stays.
-- KEYS: the devices, each 'first_at proven_at until text'. ARGV: now, the id, first_at, proven_at, until, text, how many
--       there may be, seconds that they are kept at least.
local devices, now, id = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local known = string.match(redis.call('HGET', devices, id) or '', '^(%S+) ')
local others, fields = {}, redis.call('HGETALL', devices)
for index = 1, #fields, 2 do
  local proven_at, ended = string.match(fields[index + 1], '^%S+ (%S+) (%S+) ')
  if fields[index] == id then
    if tonumber(ended) <= now then
      known = nil
    end
  elseif tonumber(ended) <= now then
    redis.call('HDEL', devices, fields[index])
  else
    others[#others + 1] = {id = fields[index], at = tonumber(proven_at)}
  end
end
table.sort(others, function(one, other)
  if one.at ~= other.at then
    return one.at > other.at
  end
  return one.id > other.id
end)
for index = tonumber(ARGV[7]), #others do
  redis.call('HDEL', devices, others[index].id)
end
redis.call('HSET', devices, id, (known or ARGV[3]) .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[6])
if redis.call('TTL', devices) < tonumber(ARGV[8]) then
  redis.call('EXPIRE', devices, ARGV[8])
end
return 1
