-- What every change of factors begins with: what is there, and what stands against it.
-- KEYS: the factors of a subject, when they were reset, its marks of what is revoked ('at until'), the ticket if there
--       is one.
-- ARGV: now, the ground ('none', 'first', 'factor'), when it was laid ('' if no reset ends it), its factor, the kinds
--       that make a first and a last one (as ',kind,kind,'), since when its tokens are ('' if no revocation ends it), the
--       mark of its session, then what the change takes.
local factors, reset, marks, ticket = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
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
  return confirmed[id] and string.find(ARGV[5], ',' .. kinds[id] .. ',', 1, true) ~= nil
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
local function revoked_at(what)
  local at, ended = string.match(redis.call('HGET', marks, what) or '', '^(%S+) (%S+)$')
  return at and tonumber(ended) > tonumber(ARGV[1]) and tonumber(at)
end
if ARGV[2] ~= 'none' then
  local reset_at = redis.call('GET', reset)
  if reset_at and ARGV[3] ~= '' and tonumber(ARGV[3]) <= tonumber(reset_at) then
    return 'ground-gone'
  end
  if ARGV[6] ~= '' then
    local tokens_at = revoked_at('tokens')
    if revoked_at('block') or revoked_at(ARGV[7]) or (tokens_at and tonumber(ARGV[6]) <= tokens_at) then
      return 'ground-gone'
    end
  end
  if ARGV[2] == 'first' and counted > 0 then
    return 'not-first'
  end
  if ARGV[2] == 'factor' and not confirmed[ARGV[4]] then
    return 'ground-gone'
  end
end
