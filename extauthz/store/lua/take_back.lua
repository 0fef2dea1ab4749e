-- Undoes a count, because another limiter of the same try is locked.
-- KEYS: the tally. ARGV: now, what was kept before the count, what was kept after it.
local kept = redis.call('GET', KEYS[1])
if not kept then
  return 0
end
if kept == ARGV[3] then
  if ARGV[2] == '' then
    return redis.call('DEL', KEYS[1])
  end
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  return 1
end
-- Somebody else has counted meanwhile: one try less, and no lock for it.
local tries, locked_until, forgotten_at = string.match(kept, '^(%S+) (%S+) (%S+)$')
if tonumber(tries) <= 1 then
  return redis.call('DEL', KEYS[1])
end
if tonumber(locked_until) > tonumber(ARGV[1]) then
  locked_until = ARGV[1]
end
redis.call('SET', KEYS[1], string.format('%d %s %s', tries - 1, locked_until, forgotten_at), 'KEEPTTL')
return 1
