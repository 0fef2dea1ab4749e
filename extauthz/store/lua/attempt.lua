-- Counts one try in a limiter; returns the seconds to wait while it is locked, when nothing is counted, and which tally
-- it was: 'own' of a holder that the limiter knows, or 'all'; and the seconds for which it is locked after a try that was
-- counted. The arithmetic is that of `stepup.lockout.count`.
-- KEYS: the tally, 'locked_until empty_at', and the known holders, each 'locked_until empty_at known_until'.
-- ARGV: now, free, pause, longest, memory, how much of a try clocks may differ by, the holder.
local now, free, pause = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local longest, memory, skew = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local before, which = redis.call('GET', KEYS[1]) or '', 'all'
local known, known_until = redis.call('HGET', KEYS[2], ARGV[7])
if known then
  local tally
  tally, known_until = string.match(known, '^(%S+ %S+) (%S+)$')
  if tonumber(known_until) > now then
    before, which = tally, 'own'
  end
end
local locked_until, empty_at = string.match(before, '^(%S+) (%S+)$')
locked_until, empty_at = tonumber(locked_until or 0), tonumber(empty_at or 0)
if locked_until > now then
  return {string.format('%.17g', locked_until - now), which, '0'}
end
empty_at = math.max(empty_at, now) + memory
local over = math.ceil((empty_at - now) / memory - skew) - free
locked_until = 0
if over >= 0 then
  locked_until = now + math.min(pause * 2 ^ math.min(over, 40), longest)
end
local after = string.format('%.17g %.17g', locked_until, empty_at)
if which == 'own' then
  redis.call('HSET', KEYS[2], ARGV[7], after .. ' ' .. known_until)
else
  redis.call('SET', KEYS[1], after, 'EX', math.ceil(math.max(locked_until, empty_at) - now) + 1)
end
return {'0', which, string.format('%.17g', math.max(locked_until - now, 0))}
