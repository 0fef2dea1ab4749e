-- Claims a letter, or says how it stands with it.
-- KEYS: the letters of a subject. ARGV: now, until when it is claimed, the id, seconds that letters are kept at least.
local letters, id = KEYS[1], ARGV[3]
local due_at, attempts, dead_at, error = string.match(
  redis.call('HGET', letters, 'state:' .. id) or '', '^(%S+) (%S+) (%S+) (.*)$')
if not due_at then
  return {'gone'}
end
if dead_at ~= '-' then
  return {'dead', dead_at}
end
if tonumber(due_at) > tonumber(ARGV[1]) then
  return {'waits', due_at}
end
local attempt = string.format('%d', tonumber(attempts) + 1)
redis.call('HSET', letters, 'state:' .. id, ARGV[2] .. ' ' .. attempt .. ' - ' .. error)
if redis.call('TTL', letters) < tonumber(ARGV[4]) then
  redis.call('EXPIRE', letters, ARGV[4])
end
local kept = redis.call('HMGET', letters, 'head:' .. id, 'content:' .. id)
return {'claimed', attempt, kept[1], kept[2]}
