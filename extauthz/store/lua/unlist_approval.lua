-- Lists an approval no more that is kept no more, or never was. KEYS: as of index_approval.lua. ARGV: the id.
redis.call('HDEL', KEYS[2], ARGV[1])
for _, list in ipairs({KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6]}) do
  redis.call('ZREM', list, ARGV[1])
end
return 1
