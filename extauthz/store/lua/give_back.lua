-- Takes a try out of a limiter, as if it had never come: `stepup.lockout.give_back`.
-- KEYS: the tally, 'locked_until empty_at'. ARGV: now, memory.
local now = tonumber(ARGV[1])
local empty_at = string.match(redis.call('GET', KEYS[1]) or '', '^%S+ (%S+)$')
if not empty_at then
  return 0
end
empty_at = tonumber(empty_at) - tonumber(ARGV[2])
if empty_at <= now then
  return redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[1], string.format('0 %.17g', empty_at), 'EX', math.ceil(empty_at - now) + 1)
return 1
