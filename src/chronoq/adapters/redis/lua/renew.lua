-- Hold a lock for longer, if it is still ours by owner and token.
-- KEYS: the lock
-- ARGV: now, owner, token, the new end
-- Returns: 1, or 0 when it is not ours any more
local held = redis.call('HMGET', KEYS[1], 'owner', 'token', 'until')
if held[1] ~= ARGV[2] or held[2] ~= ARGV[3] or tonumber(held[3] or 0) <= tonumber(ARGV[1]) then return 0 end
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
redis.call('HSET', KEYS[1], 'until', ARGV[4])
return 1
