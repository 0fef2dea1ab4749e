-- Changes how it stands with a letter; returns whether it did.
-- KEYS: the letters of a subject. ARGV: 'done', 'later', 'dead' or 'again', the id, the attempt that says so, when it is
--       due or has died, the error, seconds that letters are kept at least.
local letters, what, id, at = KEYS[1], ARGV[1], ARGV[2], ARGV[4]
local due_at, attempts, dead_at, error = string.match(
  redis.call('HGET', letters, 'state:' .. id) or '', '^(%S+) (%S+) (%S+) (.*)$')
if not due_at then
  return 0
end
local state
if what == 'done' then
  redis.call('HDEL', letters, 'state:' .. id, 'head:' .. id, 'content:' .. id)
  return 1
elseif what == 'again' and dead_at ~= '-' then
  state = at .. ' 0 - ' .. error
elseif what == 'later' and dead_at == '-' and attempts == ARGV[3] then
  state = at .. ' ' .. attempts .. ' - ' .. ARGV[5]
elseif what == 'dead' and dead_at == '-' and attempts == ARGV[3] then
  state = due_at .. ' ' .. attempts .. ' ' .. at .. ' ' .. ARGV[5]
end
if not state then
  return 0
end
redis.call('HSET', letters, 'state:' .. id, state)
if redis.call('TTL', letters) < tonumber(ARGV[6]) then
  redis.call('EXPIRE', letters, ARGV[6])
end
return 1
