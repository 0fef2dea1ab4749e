-- Forgets grants of a subject. KEYS: the grants, their ends. ARGV: ids.
for _, id in ipairs(ARGV) do
  redis.call('HDEL', KEYS[1], 'text:' .. id, 'uses:' .. id)
  redis.call('ZREM', KEYS[2], id)
end
return #ARGV
