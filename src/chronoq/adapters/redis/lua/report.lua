-- Keep the progress of a running job.
-- KEYS: leases, claims, progress
-- ARGV: key, token:worker, progress
-- Returns: 1, or 0 when the lease is not held by that worker under that token
local token, worker = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '', '^(%d+):%d+:%d+:(.*)$')
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) or not token or token .. ':' .. worker ~= ARGV[2] then return 0 end
redis.call('PERSIST', KEYS[3]) -- changes nothing, but only a script's first write is refused for lack of memory
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
return 1
