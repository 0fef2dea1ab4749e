-- Burns a ticket and a number of a factor, and lets it prove from now on: all of it or nothing. Goes on from ground.lua.
-- ARGV: … 5: seconds that the ticket is kept, the factor, the number.
local factor = ARGV[6]
local mark = redis.call('HGET', factors, 'mark:' .. factor)
if not mark then
  return 'factor-gone'
end
if tonumber(ARGV[7]) <= tonumber(mark) then
  return 'mark-used'
end
if ticket then
  redis.call('SET', ticket, '', 'EX', ARGV[5])
end
redis.call('HSET', factors, 'mark:' .. factor, ARGV[7], 'confirmed:' .. factor, '1')
return 'done'
