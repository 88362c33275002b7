-- Leases that have run out. Reads only: settle decides.
-- KEYS: leases, claims, jobs
-- ARGV: now, how many at most
-- Returns: keys and ends in turn; claims; records
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
if #found == 0 then return {{}, {}, {}} end
local keys = {}
for i = 1, #found, 2 do keys[#keys + 1] = found[i] end
return {found, redis.call('HMGET', KEYS[2], unpack(keys)), redis.call('HMGET', KEYS[3], unpack(keys))}
