-- Calls a factor by another name. Goes on from ground.lua.
-- ARGV: … 8: the factor, its name.
if not kinds[ARGV[8]] then
  return 'factor-gone'
end
redis.call('HSET', factors, 'name:' .. ARGV[8], ARGV[9])
return 'done'
