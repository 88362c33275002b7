-- Look at a schedule again that has lost its due time, if its cursor is still the one that tells when.
-- KEYS: cursors, dues, wake:time, stats
-- ARGV: schedule, cursor, when to look at it (+inf: when its runs have ended)
-- Returns: 1, or 0 when it has changed
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] or redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('HINCRBY', KEYS[4], 'mended', 1)
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('RPUSH', KEYS[3], '1') end
return 1
