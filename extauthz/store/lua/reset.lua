-- Forgets the factors and the grants of a subject; returns how many factors it had.
-- KEYS: the factors, the grants, their ends.
local had = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 5) == 'kind:' then
    had = had + 1
  end
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return had
