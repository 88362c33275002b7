-- Look through the places of a queue for what has no record, and through its belongings for what has no job.
-- KEYS: jobs, delayed, leases, dead, claims, notes, progress, stops, ready:0 .. ready:3, skips, stats
-- ARGV: now, which place (2 .. 12 of KEYS; 13: none is left), where to go on in it, how many entries at most,
--       the record and the note of a lost job
-- Returns: place, where to go on in it, how many records have no place (below 0: places without a record),
--       lost jobs by which the books were corrected; then lists of keys: of jobs that are delayed or run,
--       of those in the ready lists, buried, marked, cleared, gone from the ready lists, and some of skips
local place, from, left = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local live, listed, buried, marked, cleared, gone, skips = {}, {}, {}, {}, {}, {}, {}
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory

while place <= 12 and left > 0 do
  local over
  left = left - 1
  if place <= 4 then
    local page = redis.call('ZSCAN', KEYS[place], from, 'COUNT', left + 1)
    for i = 1, #page[2], 2 do
      local member = page[2][i]
      local key = place == 2 and string.sub(member, 2) or member
      if redis.call('HEXISTS', KEYS[1], key) == 1 then
        if place < 4 then live[#live + 1] = key end
      else
        redis.call('HSET', KEYS[1], key, ARGV[5])
        if place == 2 then
          redis.call('ZREM', KEYS[2], member)
          redis.call('ZADD', KEYS[4], ARGV[1], key)
          redis.call('HSET', KEYS[6], key, ARGV[6])
          buried[#buried + 1] = key
        else
          marked[#marked + 1] = key
        end
      end
    end
    left = left - #page[2] / 2
    from, over = page[1], page[1] == '0'
  elseif place <= 7 then
    local page = redis.call('HSCAN', KEYS[place], from, 'COUNT', left + 1)
    for i = 1, #page[2], 2 do
      if redis.call('HEXISTS', KEYS[1], page[2][i]) == 0 then
        redis.call('HDEL', KEYS[place], page[2][i])
        cleared[#cleared + 1] = page[2][i]
      end
    end
    left = left - #page[2] / 2
    from, over = page[1], page[1] == '0'
  elseif place == 8 then
    local page = redis.call('SSCAN', KEYS[8], from, 'COUNT', left + 1)
    for _, key in ipairs(page[2]) do
      if redis.call('HEXISTS', KEYS[1], key) == 0 then
        redis.call('SREM', KEYS[8], key)
        cleared[#cleared + 1] = key
      end
    end
    left = left - #page[2]
    from, over = page[1], page[1] == '0'
  else
    if place == 9 and from == '0' then skips = redis.call('SRANDMEMBER', KEYS[13], 1000) end
    -- from the tail: what is pushed meanwhile moves the others towards the head, where they are met again
    local off = tonumber(from)
    local keys = redis.call('LRANGE', KEYS[place], -off - left - 1, -off - 1)
    for _, key in ipairs(keys) do
      listed[#listed + 1] = key
      if redis.call('HEXISTS', KEYS[1], key) + redis.call('SISMEMBER', KEYS[13], key) == 0 then
        redis.call('SADD', KEYS[13], key) -- taking it out of a long list would hold up the server
        gone[#gone + 1] = key
      end
    end
    over = #keys <= left
    left = left - #keys
    from = tostring(off + #keys)
  end
  if over then place, from = place + 1, '0' end
end

local places = redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4])
for lane = 9, 12 do places = places + redis.call('LLEN', KEYS[lane]) end
places = places - redis.call('SCARD', KEYS[13])
local astray, lost = redis.call('HLEN', KEYS[1]) - places, 0
if place > 12 and astray == 0 then
  local books = redis.call('HMGET', KEYS[14], 'accepted', 'done', 'cancelled', 'expired', 'purged', 'lost')
  for i = 1, 6 do books[i] = tonumber(books[i]) or 0 end
  lost = books[1] - places - books[2] - books[3] - books[4] - books[5] - books[6]
  -- more than the books know of: some that counted as lost were found, or the books themselves were lost
  local found = math.max(0, -lost - books[6])
  if found > 0 then redis.call('HINCRBY', KEYS[14], 'accepted', found) end
  if lost + found ~= 0 then redis.call('HINCRBY', KEYS[14], 'lost', lost + found) end
end
local mended = #buried + #marked + #cleared
if mended > 0 then redis.call('HINCRBY', KEYS[14], 'mended', mended) end
return {place, from, astray, lost, live, listed, buried, marked, cleared, gone, skips}
