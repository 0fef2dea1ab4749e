-- Forgets a factor, unless it is the last one that counts. Goes on from ground.lua.
-- ARGV: … 5: the factor.
if not kinds[ARGV[5]] then
  return 'factor-gone'
end
if counts(ARGV[5]) and counted == 1 then
  return 'last'
end
forget(ARGV[5])
return 'done'
