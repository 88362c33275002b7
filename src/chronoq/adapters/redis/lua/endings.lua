-- How jobs ended, dead letters included. Reads only.
-- KEYS: dead, notes, then the ending of each job
-- ARGV: the jobs' keys
-- Returns: times of death, notes, endings; each with one entry for each job
local endings = {}
for i = 1, #ARGV do endings[i] = KEYS[2 + i] end
return {
  redis.call('ZMSCORE', KEYS[1], unpack(ARGV)),
  redis.call('HMGET', KEYS[2], unpack(ARGV)),
  redis.call('MGET', unpack(endings)),
}
