-- Burns a ticket and what a proof burns of a factor, and leaves grants: all of it or nothing. Goes on from grants.lua.
-- KEYS: the factors of a subject, its grants, their ends, its marks of what is revoked ('at until'), the ticket if there
--       is one.
-- ARGV: now, what is burned ('none', 'advance', 'use-up', 'presence'), factor, mark, seconds that the ticket is kept,
--       seconds that the grants are kept at least, how many there may be, since when the subject's tokens are that this
--       rests on, then the grants.
local factors, grants, ends, marks, ticket = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now, burn, factor, mark = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local barred = bar(marks, now, ARGV[8], 9, #ARGV)
if barred then
  return barred
end
if ticket and redis.call('EXISTS', ticket) == 1 then
  return 'ticket-used'
end
if burn ~= 'none' then
  local kept = redis.call('HMGET', factors, 'mark:' .. factor, 'confirmed:' .. factor)
  if kept[2] ~= '1' then
    return 'factor-gone'
  end
  if burn == 'advance' then
    if tonumber(mark) <= tonumber(kept[1]) then
      return 'mark-used'
    end
    redis.call('HSET', factors, 'mark:' .. factor, mark)
  elseif burn == 'use-up' then
    for _, part in ipairs({'kind:', 'confirmed:', 'mark:', 'name:', 'text:'}) do
      redis.call('HDEL', factors, part .. factor)
    end
  end
end
if ticket then
  redis.call('SET', ticket, '', 'EX', ARGV[5])
end
leave(grants, ends, now, 9, #ARGV, tonumber(ARGV[7]), tonumber(ARGV[6]))
return 'done'
