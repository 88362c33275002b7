-- Bury jobs of which a sweep found only a place in the ready lists, unless they have ended.
-- KEYS: jobs, delayed, leases, dead, notes, stats, then the ending of each job
-- ARGV: now, the record and the note of a lost job, then the keys
-- Returns for each: 1, or 0 when it is elsewhere or has ended
local FIXED = 6
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
local answers = {}
for i = 4, #ARGV do
  local key, elsewhere = ARGV[i], false
  for priority = 0, 3 do elsewhere = elsewhere or redis.call('ZSCORE', KEYS[2], priority .. key) end
  elsewhere = elsewhere or redis.call('ZSCORE', KEYS[3], key) or redis.call('ZSCORE', KEYS[4], key)
  if elsewhere or redis.call('HEXISTS', KEYS[1], key) + redis.call('EXISTS', KEYS[FIXED + i - 3]) > 0 then
    answers[i - 3] = 0
  else
    answers[i - 3] = 1
    redis.call('HSET', KEYS[1], key, ARGV[2])
    redis.call('ZADD', KEYS[4], ARGV[1], key)
    redis.call('HSET', KEYS[5], key, ARGV[3])
  end
  redis.call('HINCRBY', KEYS[6], 'mended', 1)
end
return answers
