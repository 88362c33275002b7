-- Take a lock that is free, has run out, or is ours already. Its token grows with each taking, and never goes back:
-- of one that is not known, or not any more, it begins at the time.
-- KEYS: the lock
-- ARGV: now, owner, the new end
-- Returns: the token, or 0 while another one holds it
local held = redis.call('HMGET', KEYS[1], 'owner', 'token', 'until')
local token, ends = tonumber(held[2] or ARGV[1]), tonumber(held[3] or 0)
if ends <= tonumber(ARGV[1]) then
  token = token + 1
elseif held[1] ~= ARGV[2] then
  return 0
end
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'token', string.format('%d', token), 'until', ARGV[3])
return token
