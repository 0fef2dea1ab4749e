-- Remembers that a proof of possession was used; returns 0 if it was used before, but for the same Check sent again.
-- KEYS: the proof, 'used_at kept_until fingerprint'. ARGV: now, until when it is kept, fingerprint, repeat seconds.
local now, kept_until = tonumber(ARGV[1]), tonumber(ARGV[2])
local used_at, known_until, by = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+) (.*)$')
if used_at and tonumber(known_until) > now then
  if by ~= '' and by == ARGV[3] and now - tonumber(used_at) <= tonumber(ARGV[4]) then
    return 1
  end
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3], 'EX',
  math.max(1, math.ceil(kept_until - now) + 1))
return 1
