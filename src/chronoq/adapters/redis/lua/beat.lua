-- Stay on the roll.
-- KEYS: the process
-- ARGV: its vitals, now, until when that holds, when the key can be thrown away (ms from now)
-- Returns: 1, or 0 when it is not on the roll (any more)
local ends = tonumber(redis.call('HGET', KEYS[1], 'until') or 0)
if ends <= tonumber(ARGV[2]) then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[4]) -- first: it is allowed on a full server
redis.call('HSET', KEYS[1], 'vitals', ARGV[1], 'seen', ARGV[2], 'until', ARGV[3])
return 1
