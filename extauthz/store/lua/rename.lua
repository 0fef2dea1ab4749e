-- Calls a factor by another name. Goes on from ground.lua.
-- ARGV: … 5: the factor, its name.
if not kinds[ARGV[5]] then
  return 'factor-gone'
end
redis.call('HSET', factors, 'name:' .. ARGV[5], ARGV[6])
return 'done'
