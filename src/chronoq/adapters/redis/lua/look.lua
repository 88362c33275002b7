-- All that is known of some jobs. Reads only.
-- KEYS: jobs, claims, notes, progress, leases, dead, delayed, stops, then the ending of each job
-- ARGV: the jobs' keys
-- Returns: records, claims, notes, progress, lease ends, times of death, due times, whether they were asked
--       to stop, endings; each with one entry for each job
local members, dues, endings = {}, {}, {}
for i, key in ipairs(ARGV) do
  for priority = 0, 3 do members[#members + 1] = priority .. key end
  endings[i] = KEYS[8 + i]
end
local delayed = redis.call('ZMSCORE', KEYS[7], unpack(members))
for i = 1, #ARGV do
  dues[i] = delayed[4 * i - 3] or delayed[4 * i - 2] or delayed[4 * i - 1] or delayed[4 * i]
end
return {
  redis.call('HMGET', KEYS[1], unpack(ARGV)),
  redis.call('HMGET', KEYS[2], unpack(ARGV)),
  redis.call('HMGET', KEYS[3], unpack(ARGV)),
  redis.call('HMGET', KEYS[4], unpack(ARGV)),
  redis.call('ZMSCORE', KEYS[5], unpack(ARGV)),
  redis.call('ZMSCORE', KEYS[6], unpack(ARGV)),
  dues,
  redis.call('SMISMEMBER', KEYS[8], unpack(ARGV)),
  redis.call('MGET', unpack(endings)),
}
