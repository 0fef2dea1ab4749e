-- Writes letters that tell of no approval.
-- KEYS: the letters of their slot. ARGV: now, seconds that letters are kept at least, each letter's id, head, content.
local letters = KEYS[1]
for index = 3, #ARGV, 3 do
  local letter = ARGV[index]
  if redis.call('HSETNX', letters, 'state:' .. letter, ARGV[1] .. ' 0 - ""') == 1 then
    redis.call('HSET', letters, 'head:' .. letter, ARGV[index + 1], 'content:' .. letter, ARGV[index + 2])
  end
end
if redis.call('TTL', letters) < tonumber(ARGV[2]) then
  redis.call('EXPIRE', letters, ARGV[2])
end
return 1
