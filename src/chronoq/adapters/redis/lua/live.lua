-- Count the live runs of schedules.
-- KEYS: the runs of schedules
-- Returns: how many each has; nothing, when none has any
local found = {}
if redis.call('EXISTS', unpack(KEYS)) == 0 then return found end
for i, runs in ipairs(KEYS) do found[i] = redis.call('SCARD', runs) end
return found
