-- What every change of factors begins with: what is there, and what stands against it.
-- KEYS: the factors of a subject, when they were reset, the ticket if there is one.
-- ARGV: the ground ('none', 'first', 'factor'), when it was laid ('' if nothing ends it), its factor, the kinds that
--       make a first and a last one (as ',kind,kind,'), then what the change takes.
local factors, reset, ticket = KEYS[1], KEYS[2], KEYS[3]
local kinds, confirmed, counted = {}, {}, 0
local had = redis.call('HGETALL', factors)
for index = 1, #had, 2 do
  local part, id = string.match(had[index], '^(%a+):(.*)$')
  if part == 'kind' then
    kinds[id] = had[index + 1]
  elseif part == 'confirmed' then
    confirmed[id] = had[index + 1] == '1'
  end
end
local function counts(id)
  return confirmed[id] and string.find(ARGV[4], ',' .. kinds[id] .. ',', 1, true) ~= nil
end
for id in pairs(kinds) do
  if counts(id) then
    counted = counted + 1
  end
end
local function forget(id)
  for _, part in ipairs({'kind:', 'confirmed:', 'mark:', 'name:', 'text:'}) do
    redis.call('HDEL', factors, part .. id)
  end
end
if ticket and redis.call('EXISTS', ticket) == 1 then
  return 'ticket-used'
end
if ARGV[1] ~= 'none' then
  local reset_at = redis.call('GET', reset)
  if reset_at and ARGV[2] ~= '' and tonumber(ARGV[2]) <= tonumber(reset_at) then
    return 'ground-gone'
  end
  if ARGV[1] == 'first' and counted > 0 then
    return 'not-first'
  end
  if ARGV[1] == 'factor' and not confirmed[ARGV[3]] then
    return 'ground-gone'
  end
end
