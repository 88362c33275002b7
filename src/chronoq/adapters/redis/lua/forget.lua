-- Forget how jobs ended. The place in line that a cancelled one has left is cleared when it is near an end of
-- its list, so that what nobody claims does not pile up; else it stays for the claim that meets it.
-- KEYS: skips, ready:0 .. ready:3, then the ending of each job
-- ARGV: now, how far from either end of a list to look, the jobs' keys
-- Returns for each: 1, or 0 when nothing is remembered of it
local FIRST, FIXED = 3, 5
local now = tonumber(ARGV[1])

local function clear(key)
  for place = 2, 5 do
    for _, rank in ipairs({-1, 1}) do
      if redis.call('LPOS', KEYS[place], key, 'RANK', rank, 'MAXLEN', ARGV[2]) then
        redis.call('LREM', KEYS[place], rank, key)
        redis.call('SREM', KEYS[1], key)
        return
      end
    end
  end
end

local answers = {}
for i = FIRST, #ARGV do
  local key, place = ARGV[i], KEYS[FIXED + i - FIRST + 1]
  local ending = redis.call('GET', place)
  answers[#answers + 1] = 0
  if ending then
    if redis.call('SISMEMBER', KEYS[1], key) == 1 then clear(key) end
    redis.call('DEL', place)
    if tonumber(string.match(ending, '^%d+') or 0) > now then answers[#answers] = 1 end
  end
end
return answers
