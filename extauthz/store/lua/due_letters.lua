-- Which letters of a sink are to be looked at, each with where it is ('' if nobody knows).
-- KEYS: where each letter is, when those of the sink are to be looked at. ARGV: now, how many.
local due = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  due[#due + 1] = id
  due[#due + 1] = redis.call('HGET', KEYS[1], id) or ''
end
return due
