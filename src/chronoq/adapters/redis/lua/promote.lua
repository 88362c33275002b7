-- Move due jobs from delayed to ready, in order of due time.
-- KEYS: delayed, wake:work, ready:0 .. ready:3
-- ARGV: now, how many at most
-- Returns: how many moved, when the next one is due ('' when nothing is delayed)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
if #due > 0 then
  local ready = {}
  for _, member in ipairs(due) do
    local priority = string.match(member, '^[0-3]') or '2'
    ready[priority] = ready[priority] or {}
    table.insert(ready[priority], string.sub(member, 2))
  end
  redis.call('ZREM', KEYS[1], unpack(due)) -- first: what shrinks is allowed on a full server
  for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[3 + priority], unpack(lane)) end
  local tokens = {}
  for i = 1, math.min(#due, 64 - redis.call('LLEN', KEYS[2])) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', KEYS[2], unpack(tokens)) end
end
return {#due, redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or ''}
