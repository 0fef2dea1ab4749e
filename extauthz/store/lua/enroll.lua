-- Burns a ticket and lets new factors take their place: all of it or nothing.
-- KEYS: the factors of a subject, the ticket if there is one.
-- ARGV: '1' if they must be the first, seconds that the ticket is kept, the kinds that go and the kinds of which those
--       go that were never confirmed (each as ',kind,kind,'), then for each factor: id, kind, confirmed, mark, name, text.
local factors, ticket = KEYS[1], KEYS[2]
local had = redis.call('HGETALL', factors)
if ticket and redis.call('EXISTS', ticket) == 1 then
  return 'ticket-used'
end
local kinds, confirmed = {}, {}
for index = 1, #had, 2 do
  local part, id = string.match(had[index], '^(%a+):(.*)$')
  if part == 'kind' then
    kinds[id] = had[index + 1]
  elseif part == 'confirmed' then
    confirmed[id] = had[index + 1] == '1'
    if confirmed[id] and ARGV[1] == '1' then
      return 'not-first'
    end
  end
end
for id, kind in pairs(kinds) do
  local named = ',' .. kind .. ','
  if string.find(ARGV[3], named, 1, true) or (not confirmed[id] and string.find(ARGV[4], named, 1, true)) then
    for _, part in ipairs({'kind:', 'confirmed:', 'mark:', 'name:', 'text:'}) do
      redis.call('HDEL', factors, part .. id)
    end
  end
end
if ticket then
  redis.call('SET', ticket, '', 'EX', ARGV[2])
end
for index = 5, #ARGV, 6 do
  local id = ARGV[index]
  redis.call('HSET', factors, 'kind:' .. id, ARGV[index + 1], 'confirmed:' .. id, ARGV[index + 2],
    'mark:' .. id, ARGV[index + 3], 'name:' .. id, ARGV[index + 4], 'text:' .. id, ARGV[index + 5])
end
return 'done'
