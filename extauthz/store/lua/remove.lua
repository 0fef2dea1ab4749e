-- Forgets a factor, unless it is the last one that counts. Goes on from ground.lua.
-- ARGV: … 8: the factor.
if not kinds[ARGV[8]] then
  return 'factor-gone'
end
if counts(ARGV[8]) and counted == 1 then
  return 'last'
end
forget(ARGV[8])
return 'done'
