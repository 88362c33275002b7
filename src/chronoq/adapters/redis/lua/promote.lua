-- Move due jobs from delayed to ready, in order of due time.
-- KEYS: delayed, wake:work, ready:0 .. ready:3
-- ARGV: now, how many at most
-- Returns: how many moved, when the next one is due ('' when nothing is delayed)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #due > 0 then
  local byte, sub, lanes = string.byte, string.sub, {{}, {}, {}, {}}
  for i = 1, #due do
    local lane = lanes[(byte(due[i]) or 0) - 47] or lanes[3] -- '0' is 48
    lane[#lane + 1] = sub(due[i], 2)
  end
  -- first: what shrinks is allowed on a full server; they are the first ones, and need not be looked up again
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #due - 1)
  for i, lane in ipairs(lanes) do
    for from = 1, #lane, 60 do -- in pieces: few arguments at once are quicker
      redis.call('RPUSH', KEYS[2 + i], unpack(lane, from, math.min(from + 59, #lane)))
    end
  end
  local tokens = {}
  for i = 1, math.min(#due, 64 - redis.call('LLEN', KEYS[2])) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', KEYS[2], unpack(tokens)) end
end
return {#due, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or ''}
