-- Promote what is due, then lease ready jobs to a worker: by priority, then first in, first out.
-- KEYS: delayed, wake:work, ready:0 .. ready:3, skips, jobs, leases, claims, paused
-- ARGV: now, how many at most, the lease's end, worker, how many to promote at most, how many bytes of records at
--       most, where it is more than one
-- Returns: when to look again, because the next delayed job is due or the pause ends ('': no such moment is known),
--       whether some stayed behind for their weight (1), then of the claims, each in a list of its own: keys,
--       records (false: missing), and token, excused, crashes as one text ('': 1, 0, 0, a first claim)
local now, limit, bound = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
local paused, ends = redis.call('GET', KEYS[11]), 0
if paused then
  ends = tonumber(string.match(paused, '^%d+') or 0)
  paused = ends == 0 or ends > now
end

local nearest, due = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2], {}
if nearest and tonumber(nearest) <= now then
  due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[5])
  local ready = {}
  for _, member in ipairs(due) do
    local priority = string.match(member, '^[0-3]') or '2'
    ready[priority] = ready[priority] or {}
    table.insert(ready[priority], string.sub(member, 2))
  end
  redis.call('ZREM', KEYS[1], unpack(due)) -- first: what shrinks is allowed on a full server
  for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[3 + priority], unpack(lane)) end
  nearest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
end

-- a cancelled job leaves its key in the list, and a mark in skips: drop both
local keys, budget, marks = {}, limit + 1000, redis.call('SCARD', KEYS[7])
local first = 3 -- the lanes before it are empty
local before = {} -- how many keys come of the lanes before each
for lane = 3, 6 do
  before[lane] = #keys
  while not paused and #keys < limit and budget > 0 do
    local wanted = math.min(limit - #keys, budget)
    local popped = redis.call('LPOP', KEYS[lane], wanted)
    if not popped then break end
    budget = budget - #popped
    local skipped = marks > 0 and redis.call('SMISMEMBER', KEYS[7], unpack(popped)) or {}
    for i, key in ipairs(popped) do
      -- once: a dead letter that a sweep buried may have been revived since, and stand in the list twice
      if skipped[i] == 1 and redis.call('SREM', KEYS[7], key) == 1 then
        marks = marks - 1
      else
        keys[#keys + 1] = key
      end
    end
    if #popped < wanted then break end
  end
  if #keys < limit and budget > 0 then first = lane + 1 end -- it was read to its end
end

local records, histories, kept = {}, {}, #keys
if #keys > 0 then
  -- of many the first few tell how many to read: of heavy ones no more than fit, if all weigh as much
  local few = kept > 16 and 4 or kept
  records = redis.call('HMGET', KEYS[8], unpack(keys, 1, few))
  if few < kept then
    local weight = 0
    for _, record in ipairs(records) do weight = weight + #(record or '') end
    kept = math.max(1, math.min(kept, math.floor(few * bound / weight)))
    if kept > few then records = redis.call('HMGET', KEYS[8], unpack(keys, 1, kept)) end
  end
  local claims = redis.call('HMGET', KEYS[10], unpack(keys, 1, kept))
  local leases, written, weight = {}, {}, 0
  local new = '1:0:0:' .. ARGV[4]
  for i = 1, kept do
    weight = weight + #(records[i] or '')
    if weight > bound and i > 1 then
      kept = i - 1
      break
    end
    local key = keys[i]
    leases[2 * i - 1], leases[2 * i] = ARGV[3], key
    written[2 * i - 1], written[2 * i], histories[i] = key, new, ''
    local token, rest
    if claims[i] then token, rest = string.match(claims[i], '^(%d+)(:%d+:%d+:)') end
    if token then
      histories[i] = string.format('%d', token + 1) .. rest
      written[2 * i] = histories[i] .. ARGV[4]
    end
  end
  redis.call('ZADD', KEYS[9], unpack(leases))
  redis.call('HSET', KEYS[10], unpack(written))
end

local cut = kept < #keys
if cut then -- the others go back to where they stood
  first = 3
  for lane = 6, 3, -1 do
    local back = {}
    for i = #keys, math.max(before[lane], kept) + 1, -1 do
      back[#back + 1], keys[i], records[i] = keys[i], nil, nil
    end
    if #back > 0 then redis.call('LPUSH', KEYS[lane], unpack(back)) end
  end
end

-- what is left is somebody's to hear of; who finds nothing clears the list, as does a pause: else its
-- tokens would wake everyone for nothing
local left = 0
if cut or #keys >= limit or budget <= 0 then -- else every lane was read to its end, or none
  left = -marks
  for lane = first, 6 do left = left + redis.call('LLEN', KEYS[lane]) end
end
if left <= 0 or paused then
  redis.call('DEL', KEYS[2])
else
  local tokens = {}
  local wanted = #due > 0 and math.min(left, 64) or 1
  for i = 1, wanted - redis.call('LLEN', KEYS[2]) do tokens[i] = '1' end
  if #tokens > 0 then
    redis.call('PERSIST', KEYS[2]) -- changes nothing, but only a script's first write is refused for lack of memory
    redis.call('RPUSH', KEYS[2], unpack(tokens))
  end
end
if paused and ends > 0 and ends < (tonumber(nearest) or math.huge) then nearest = string.format('%d', ends) end
return {nearest or '', cut and 1 or 0, keys, records, histories}
