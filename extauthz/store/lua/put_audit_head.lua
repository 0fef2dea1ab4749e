-- Remembers the end of an audit chain, unless one is known that is as far or farther.
-- KEYS: the end of this writer's chain, 'seq text'. ARGV: seq, text, seconds that it is kept.
local known = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) ')
if known and tonumber(known) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'EX', ARGV[3])
return 1
