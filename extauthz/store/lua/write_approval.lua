-- Begins scripts that write an approval with all that goes with it. Goes on from grants.lua.
-- KEYS: the approvals of a subject, each 'version state has_key_until key alike text', the newest of each key and under
--       'alike:ALIKE' the ids of those that have a place or deny, when those expire that are pending, or were until they
--       were cancelled, when the others are forgotten, letters, the grants, their ends, the marks of what is revoked.
-- ARGV: now, the id, what is kept of it, its key, when it expires if it is pending, else '', when it is forgotten, for how
--       long those are kept that are over, how many of these there may be, where news are told, seconds that approvals and
--       letters are kept at least, since when the tokens are that it rests on, how many grants there may be, seconds that
--       they are kept at least, how many come, how many letters come, three more for the script, then the grants, then the
--       letters, each id, head, content, then what the script takes.
local approvals, newest, pending, over, letters = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local grants, ends, marks = KEYS[6], KEYS[7], KEYS[8]
local now, id, key, lives = tonumber(ARGV[1]), ARGV[2], ARGV[4], tonumber(ARGV[10])
local first_grant = 19
local first_letter = first_grant + 4 * tonumber(ARGV[14])
local first_other = first_letter + 3 * tonumber(ARGV[15])

-- Whether it has a place, what is kept of it if it denies what is alike, and whether either is so.
local function standing(other)
  local known = redis.call('HGET', approvals, other)
  local state, has_key_until = string.match(known or '', '^%S+ (%S+) (%S+) ')
  local expires = redis.call('ZSCORE', pending, other)
  local has_place = state and expires and tonumber(expires) > now
  local denial = state and state ~= 'pending' and tonumber(has_key_until) > now and known
  return has_place, denial, has_place or denial
end

local function ids_alike(alike)
  return string.gmatch(redis.call('HGET', newest, 'alike:' .. alike) or '', '%S+')
end

-- Lists those that are alike and still stand, but for the one that goes, with the one that comes.
local function list_alike(alike, goes, comes)
  local ids = {}
  for other in ids_alike(alike) do
    local _, _, stands = standing(other)
    if stands and other ~= goes and other ~= comes then
      table.insert(ids, other)
    end
  end
  local _, _, stands = standing(comes)
  if comes ~= '' and stands then
    table.insert(ids, comes)
  end
  if ids[1] then
    redis.call('HSET', newest, 'alike:' .. alike, table.concat(ids, ' '))
  else
    redis.call('HDEL', newest, 'alike:' .. alike)
  end
end

local function forget(gone)
  for _, old in ipairs(gone) do
    local old_key, alike = string.match(redis.call('HGET', approvals, old) or '', '^%S+ %S+ %S+ (%S+) (%S+) ')
    if alike then
      list_alike(alike, old, '')
    end
    redis.call('HDEL', approvals, old)
    redis.call('ZREM', pending, old)
    redis.call('ZREM', over, old)
    if old_key and redis.call('HGET', newest, old_key) == old then
      redis.call('HDEL', newest, old_key)
    end
  end
end

-- Whether it goes last: a denial that still counts, or a break-glass that nobody has looked at.
local function is_wanted(old)
  local known = redis.call('HGET', approvals, old) or ''
  local state, has_key_until, text = string.match(known, '^%S+ (%S+) (%S+) %S+ %S+ (.*)$')
  return (state and state ~= 'pending' and tonumber(has_key_until) > now)
    or (state == 'approved' and string.find(text, '"break_glass":{', 1, true) and string.find(text, '"review":null', 1, true))
end

local function first_to_go(excess)
  local first, last = {}, {}
  for _, old in ipairs(redis.call('ZRANGE', over, 0, -1)) do
    table.insert(is_wanted(old) and last or first, old)
    if #first == excess then
      return first
    end
  end
  for _, old in ipairs(last) do
    if #first == excess then
      break
    end
    table.insert(first, old)
  end
  return first
end

local function barred()
  if first_letter > first_grant then
    return bar(marks, now, ARGV[11], first_grant, first_letter - 1)
  end
end

local function live_on(what)
  if redis.call('TTL', what) < lives then
    redis.call('EXPIRE', what, lives)
  end
end

local function write()
  leave(grants, ends, now, first_grant, first_letter - 1, tonumber(ARGV[12]), tonumber(ARGV[13]))
  for index = first_letter, first_other - 1, 3 do
    local letter = ARGV[index]
    if redis.call('HSETNX', letters, 'state:' .. letter, ARGV[1] .. ' 0 - ""') == 1 then
      redis.call('HSET', letters, 'head:' .. letter, ARGV[index + 1], 'content:' .. letter, ARGV[index + 2])
    end
  end
  forget(redis.call('ZRANGEBYSCORE', over, '-inf', now, 'LIMIT', 0, 100))
  forget(redis.call('ZRANGEBYSCORE', pending, '-inf', now - tonumber(ARGV[7]), 'LIMIT', 0, 100))
  redis.call('HSET', approvals, id, ARGV[3])
  if ARGV[5] ~= '' then
    redis.call('ZADD', pending, ARGV[5], id)
  else
    if string.match(ARGV[3], '^%S+ (%S+) ') ~= 'cancelled' then -- which keeps its place until it would have expired
      redis.call('ZREM', pending, id)
    end
    redis.call('ZADD', over, ARGV[6], id)
    local excess = redis.call('ZCARD', over) - tonumber(ARGV[8])
    if excess > 0 then
      forget(first_to_go(excess))
    end
  end
  list_alike(string.match(ARGV[3], '^%S+ %S+ %S+ %S+ (%S+) '), '', id)
  for _, what in ipairs({approvals, newest, pending, over, letters}) do
    live_on(what)
  end
  -- Who may not publish has written all the same: whoever waits looks once more when the wait is over.
  redis.pcall('PUBLISH', ARGV[9], id)
end
