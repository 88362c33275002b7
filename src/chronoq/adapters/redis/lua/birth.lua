-- Put a process on the roll.
-- KEYS: the process
-- ARGV: what it says of itself, its vitals, now, until when that holds, when the key can be thrown away (ms from now)
-- Returns: 1
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'process', ARGV[1], 'vitals', ARGV[2], 'seen', ARGV[3], 'until', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
