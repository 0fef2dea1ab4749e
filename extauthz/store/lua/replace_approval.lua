-- Lets an approval take the place of an older version of itself, or says what stands against it. Goes on from
-- write_approval.lua.
-- ARGV: … 16: that version, '', '', … the ids of grants that are taken back.
local version = string.match(redis.call('HGET', approvals, id) or '', '^(%S+) ')
if not version then
  return 'gone'
end
if version ~= ARGV[16] then
  return 'conflict'
end
local refused = barred()
if refused then
  return refused
end
for index = first_other, #ARGV do
  take_back(grants, ends, ARGV[index])
end
write()
return 'done'
