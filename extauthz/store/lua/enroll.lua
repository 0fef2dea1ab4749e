-- Burns a ticket and lets new factors take their place: all of it or nothing. Goes on from ground.lua.
-- ARGV: … 8: seconds that the ticket is kept, the kinds that go and the kinds of which those go that were never
--       confirmed (each as ',kind,kind,'), then for each factor: id, kind, confirmed, mark, name, text.
for id, kind in pairs(kinds) do
  local named = ',' .. kind .. ','
  if string.find(ARGV[9], named, 1, true) or (not confirmed[id] and string.find(ARGV[10], named, 1, true)) then
    forget(id)
  end
end
if ticket then
  redis.call('SET', ticket, '', 'EX', ARGV[8])
end
for index = 11, #ARGV, 6 do
  local id = ARGV[index]
  redis.call('HSET', factors, 'kind:' .. id, ARGV[index + 1], 'confirmed:' .. id, ARGV[index + 2],
    'mark:' .. id, ARGV[index + 3], 'name:' .. id, ARGV[index + 4], 'text:' .. id, ARGV[index + 5])
end
return 'done'
