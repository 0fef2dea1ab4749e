-- Begins scripts that revoke: `Revocation.widened`.
-- Since when and until when it is in force, together with what is `known` of the same key ('at until …') and in force.
local function widened(known, now, at, ends_at)
  local known_at, known_end = string.match(known or '', '^(%S+) (%S+)')
  if known_at and tonumber(known_end) > now then
    if tonumber(known_at) > tonumber(at) then
      at = known_at
    end
    if tonumber(known_end) > tonumber(ends_at) then
      ends_at = known_end
    end
  end
  return at, ends_at
end
