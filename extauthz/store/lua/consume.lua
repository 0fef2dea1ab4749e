-- Uses up one use of each grant, all or none; what this very Check has used before costs nothing again. Returns whether
-- it is done, as '1' or '0', and the ids of those that have lost a use by it.
-- KEYS: the grants of a subject, their ends, what this Check has used.
-- ARGV: now, seconds that a Check may be repeated, seconds that its uses are kept (0: nothing tells it from others), ids.
local grants, ends, used = KEYS[1], KEYS[2], KEYS[3]
local now, repeats, kept = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local spend = {}
for index = 4, #ARGV do
  local id = ARGV[index]
  local expires_at = redis.call('ZSCORE', ends, id)
  if not expires_at or tonumber(expires_at) <= now then
    return {'0'}
  end
  local uses = redis.call('HGET', grants, 'uses:' .. id)
  if uses then
    local used_at = kept > 0 and redis.call('HGET', used, id)
    if not (used_at and now - tonumber(used_at) <= repeats) then
      if tonumber(uses) <= 0 then
        return {'0'}
      end
      spend[#spend + 1] = id
    end
  end
end
for _, id in ipairs(spend) do
  redis.call('HINCRBY', grants, 'uses:' .. id, -1)
  if kept > 0 then
    redis.call('HSET', used, id, ARGV[1])
  end
end
if kept > 0 and #spend > 0 then
  redis.call('EXPIRE', used, kept)
end
return {'1', unpack(spend)}
