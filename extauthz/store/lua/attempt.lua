-- Counts one try in a limiter: returns '0', what was kept before and what is kept now. While it is locked: returns the
-- seconds to wait and counts nothing. The arithmetic is that of `stepup.lockout.count`.
-- KEYS: the tally, 'tries locked_until forgotten_at'. ARGV: now, free, pause, longest, memory.
local now, free, pause = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local longest, memory = tonumber(ARGV[4]), tonumber(ARGV[5])
local before = redis.call('GET', KEYS[1]) or ''
local tries, locked_until, forgotten_at = string.match(before, '^(%S+) (%S+) (%S+)$')
tries, locked_until, forgotten_at = tonumber(tries or 0), tonumber(locked_until or 0), tonumber(forgotten_at or 0)
if locked_until > now then
  return {string.format('%.17g', locked_until - now)}
end
if now >= forgotten_at then
  tries = 0
end
tries = tries + 1
locked_until = now
if tries >= free then
  locked_until = now + math.min(pause * 2 ^ math.min(tries - free, 40), longest)
end
forgotten_at = locked_until + memory
local after = string.format('%d %.17g %.17g', tries, locked_until, forgotten_at)
redis.call('SET', KEYS[1], after, 'EX', math.ceil(forgotten_at - now) + 1)
return {'0', before, after}
