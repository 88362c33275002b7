-- Give a lock back, if it is ours by owner and token. It keeps its token.
-- KEYS: the lock
-- ARGV: owner, token
-- Returns: 1, or 0 when it is not ours
local held = redis.call('HMGET', KEYS[1], 'owner', 'token')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'owner', 'until')
return 1
