-- Burns a ticket and a number of a factor, and lets it prove from now on: all of it or nothing. Goes on from ground.lua.
-- ARGV: … 8: seconds that the ticket is kept, the factor, the number.
local factor = ARGV[9]
local mark = redis.call('HGET', factors, 'mark:' .. factor)
if not mark then
  return 'factor-gone'
end
if tonumber(ARGV[10]) <= tonumber(mark) then
  return 'mark-used'
end
if ticket then
  redis.call('SET', ticket, '', 'EX', ARGV[8])
end
redis.call('HSET', factors, 'mark:' .. factor, ARGV[10], 'confirmed:' .. factor, '1')
return 'done'
