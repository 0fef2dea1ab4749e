-- Takes back the try that was counted last: `stepup.lockout.give_back` for a limiter that does not forget them all.
-- KEYS: the tally. ARGV: now.
local tries, locked_until, forgotten_at = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+) (%S+)$')
if not tries then
  return 0
end
if tonumber(tries) <= 1 then
  return redis.call('DEL', KEYS[1])
end
if tonumber(locked_until) > tonumber(ARGV[1]) then
  locked_until = ARGV[1]
end
redis.call('SET', KEYS[1], string.format('%d %s %s', tries - 1, locked_until, forgotten_at), 'KEEPTTL')
return 1
