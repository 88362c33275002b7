-- Put a process on the list of all, by the end of its last heartbeat, and take off those that have ended.
-- KEYS: the list
-- ARGV: that end, the process, now
-- Returns: how many are new
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3]) -- first: only a script's first write is refused for lack of memory
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
