-- Put a process on the list of all, by the end of its last heartbeat.
-- KEYS: the list
-- ARGV: that end, the process
-- Returns: how many are new
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
return redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
