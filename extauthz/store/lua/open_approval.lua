-- Opens an approval, or says what stands against it. Goes on from write_approval.lua.
-- ARGV: … 16: how many may be pending ('': nothing is written, only looked), the approval whose grant does not do,
--       how many that are alike may be pending.
local itself = redis.call('HGET', approvals, id)
if itself then
  return {'joined', itself}
end
local other = redis.call('HGET', newest, key)
if other then
  local known = redis.call('HGET', approvals, other)
  local state, has_key_until = string.match(known or '', '^%S+ (%S+) (%S+) ')
  local has_key = state and tonumber(has_key_until) > now
  if state == 'approved' and other ~= ARGV[17] then
    local ended = redis.call('ZSCORE', ends, other)
    has_key = ended and tonumber(ended) > now and redis.call('HGET', grants, 'uses:' .. other) ~= '0'
  end
  if has_key then
    return {'joined', known}
  end
end
local alike = 0
for other in ids_alike(string.match(ARGV[3], '^%S+ %S+ %S+ %S+ (%S+) ')) do
  local has_place, denial = standing(other)
  if denial then
    return {'joined', denial}
  end
  alike = alike + (has_place and 1 or 0)
end
if ARGV[16] == '' then
  return {'opened'}
end
if ARGV[5] ~= '' and redis.call('ZCOUNT', pending, '(' .. ARGV[1], '+inf') >= tonumber(ARGV[16]) then
  return {'full'}
end
if ARGV[5] ~= '' and alike >= (ARGV[18] == 'inf' and math.huge or tonumber(ARGV[18])) then
  return {'full'}
end
local refused = barred()
if refused then
  return {refused}
end
redis.call('HSET', newest, key, id)
write()
return {'opened'}
