-- Forgets the factors and the grants of a subject, and remembers that; returns how many factors it had.
-- KEYS: the factors, the grants, their ends, when they were reset. ARGV: now, seconds that this is remembered.
local had = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 5) == 'kind:' then
    had = had + 1
  end
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
-- A replica's clock may be behind.
local before = redis.call('GET', KEYS[4])
redis.call('SET', KEYS[4], before and tonumber(before) > tonumber(ARGV[1]) and before or ARGV[1], 'EX', ARGV[2])
return had
