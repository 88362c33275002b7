-- Forget how jobs ended, with the mark that a cancelled one has left in its list.
-- KEYS: skips, ready:0 .. ready:3, then the ending of each job
-- ARGV: now, how far from either end of a list to look for a mark, the jobs' keys
-- Returns for each: 1, or 0 when nothing is remembered of it, or its mark lies too deep
local FIRST, FIXED = 3, 5
local now = tonumber(ARGV[1])

local function unmarked(key)
  for place = 2, 5 do
    for _, rank in ipairs({-1, 1}) do
      if redis.call('LPOS', KEYS[place], key, 'RANK', rank, 'MAXLEN', ARGV[2]) then
        redis.call('LREM', KEYS[place], rank, key)
        redis.call('SREM', KEYS[1], key)
        return true
      end
    end
  end
  return false
end

local answers = {}
for i = FIRST, #ARGV do
  local key, place = ARGV[i], KEYS[FIXED + i - FIRST + 1]
  local ending = redis.call('GET', place)
  answers[#answers + 1] = 0
  if ending and (redis.call('SISMEMBER', KEYS[1], key) == 0 or unmarked(key)) then
    redis.call('DEL', place)
    if tonumber(string.match(ending, '^%d+') or 0) > now then answers[#answers] = 1 end
  end
end
return answers
