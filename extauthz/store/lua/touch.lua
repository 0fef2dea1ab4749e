-- Remembers that a session was active; one that has ended begins anew.
-- KEYS: the session, 'started_at last_seen until'. ARGV: at, until.
local at, ends = tonumber(ARGV[1]), tonumber(ARGV[2])
local started, seen, known = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%S+) (%S+)$')
local last, latest = ARGV[1], ARGV[2]
if known and tonumber(known) > at then
  if tonumber(seen) > at then
    last = seen
  end
  if tonumber(known) > ends then
    latest = known
  end
else
  started = ARGV[1]
end
redis.call('SET', KEYS[1], started .. ' ' .. last .. ' ' .. latest, 'EX',
  math.max(1, math.ceil(tonumber(latest) - at) + 1))
return 1
