-- See to it that live jobs of schedules stand among the runs of those.
-- KEYS: jobs, dead, stats, then the runs of schedules
-- ARGV: for each job: key, which of KEYS its schedule's runs are
-- Returns: the keys of those that did not
local joined = {}
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
for i = 1, #ARGV, 2 do
  local key = ARGV[i]
  if redis.call('HEXISTS', KEYS[1], key) == 1 and not redis.call('ZSCORE', KEYS[2], key) then
    if redis.call('SADD', KEYS[tonumber(ARGV[i + 1])], key) == 1 then joined[#joined + 1] = key end
  end
end
if #joined > 0 then redis.call('HINCRBY', KEYS[3], 'mended', #joined) end
return joined
