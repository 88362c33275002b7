-- Take from the runs of schedules what does not live any more, and free a schedule that has none left to wait for.
-- KEYS: jobs, dead, dues, wake:time, stats, then the runs of schedules
-- ARGV: now, how many runs of each are looked at, the schedules
-- Returns: keys that were removed
local FIXED, left = 5, {}
for i = 3, #ARGV do
  local runs, freed = KEYS[FIXED + i - 2], false
  local some = redis.call('SRANDMEMBER', runs, ARGV[2])
  for _, key in ipairs(some) do
    if redis.call('HEXISTS', KEYS[1], key) == 0 or redis.call('ZSCORE', KEYS[2], key) then
      redis.call('SREM', runs, key)
      left[#left + 1] = key
    end
  end
  if redis.call('ZSCORE', KEYS[3], ARGV[i]) == 'inf' and redis.call('EXISTS', runs) == 0 then
    redis.call('ZADD', KEYS[3], ARGV[1], ARGV[i])
    if redis.call('EXISTS', KEYS[4]) == 0 then redis.call('RPUSH', KEYS[4], '1') end
  end
end
if #left > 0 then redis.call('HINCRBY', KEYS[5], 'mended', #left) end
return left
