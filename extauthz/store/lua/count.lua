-- Counts one more in a window, and returns how often it was in it: `risk.sliding.counted`.
-- KEYS: how often it was, by the number of the step. ARGV: the step of now, the first step of the window, the first step
--       that is kept, seconds that it is kept.
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
local first, kept, answer = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local counts = redis.call('HGETALL', KEYS[1])
for index = 1, #counts, 2 do
  local step = tonumber(counts[index])
  if step >= first then
    answer = answer + tonumber(counts[index + 1])
  elseif step < kept then
    redis.call('HDEL', KEYS[1], counts[index])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return answer
