-- Count the live runs of schedules.
-- KEYS: the runs of schedules
-- Returns: how many each has
local found = {}
for i, runs in ipairs(KEYS) do found[i] = redis.call('SCARD', runs) end
return found
