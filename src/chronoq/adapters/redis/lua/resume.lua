-- End a pause, and tell the workers.
-- KEYS: paused, wake:work, skips, ready:0 .. ready:3
-- Returns: 1, or 0 when there was none
local was = redis.call('DEL', KEYS[1])
local left = -redis.call('SCARD', KEYS[3])
for lane = 4, 7 do left = left + redis.call('LLEN', KEYS[lane]) end
local tokens = {}
for i = 1, math.min(left, 64) - redis.call('LLEN', KEYS[2]) do tokens[i] = '1' end
if #tokens > 0 then redis.call('RPUSH', KEYS[2], unpack(tokens)) end
return was
