-- Calls a factor by another name. KEYS: the factors of a subject. ARGV: the factor, its name.
if redis.call('HEXISTS', KEYS[1], 'kind:' .. ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], 'name:' .. ARGV[1], ARGV[2])
return 1
