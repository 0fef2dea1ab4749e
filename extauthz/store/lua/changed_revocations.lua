-- Returns the newest mark, '1' if the mark that is asked about is known, and then the keys that were changed after it.
-- The mark '0' is that of a beginning without any change: it is known as long as all changes are remembered.
-- KEYS: the changes, the marks. ARGV: the mark that is asked about, how many changes are remembered.
local changes, marks, asked = KEYS[1], KEYS[2], ARGV[1]
local newest = redis.call('ZREVRANGE', marks, 0, 0, 'WITHSCORES')
local number = redis.call('ZSCORE', marks, asked)
if asked == '0' and tonumber(newest[2] or 0) <= tonumber(ARGV[2]) then
  number = 0
end
if not number then
  return {newest[1] or '0', '0'}
end
local answer = {newest[1] or '0', '1'}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', changes, '(' .. number, '+inf')) do
  answer[#answer + 1] = key
end
return answer
