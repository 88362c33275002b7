-- Schedules as they stand. Reads only.
-- KEYS: schedules, cursors
-- ARGV: the schedules
-- Returns: records, cursors; each with one entry for each schedule
return {redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV))}
