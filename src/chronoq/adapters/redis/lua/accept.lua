-- Store new jobs that are due, of one priority and of no schedule, in a queue without a bound: each at most once
-- by its key, which is there once. What submit does for them, in fewer words: most submissions are so.
-- KEYS: jobs, skips, stats, wake:work, ready:0 .. ready:3, then the ending of each job
-- ARGV: now, which of KEYS is the list of that priority; then for each job: key, record
-- Returns for each job what submit does; or 1 for all, when they are accepted
local FIXED, now, lane, count = 8, tonumber(ARGV[1]), KEYS[tonumber(ARGV[2])], (#ARGV - 2) / 2

-- a forgotten job that was cancelled while ready has left its place in line: the new one takes none of it
local function take_out(key)
  for place = 5, 8 do redis.call('LREM', KEYS[place], 1, key) end
end

if count == 1 then -- the same as below, in fewer commands
  local key, record, ended = ARGV[3], ARGV[4], redis.call('GET', KEYS[FIXED + 1])
  if ended and tonumber(string.match(ended, '^%d+') or 0) > now then
    local known = redis.call('HMGET', KEYS[1], key)[1]
    return {known and {'live', known} or {'ended', string.match(ended, '^%d+ (%x+)') or '0'}}
  end
  if redis.call('HSETNX', KEYS[1], key, record) == 0 then
    return {{'live', redis.call('HMGET', KEYS[1], key)[1]}}
  end
  if redis.call('SREM', KEYS[2], key) == 1 then take_out(key) end
  local waiting = redis.call('RPUSH', lane, key)
  redis.call('HINCRBY', KEYS[3], 'accepted', 1)
  -- behind so many one token is enough: who takes it leaves another
  if waiting <= 64 or redis.call('EXISTS', KEYS[4]) == 0 then
    if redis.call('RPUSH', KEYS[4], '1') > 64 then redis.call('LTRIM', KEYS[4], 0, 63) end
  end
  return 1
end

local keys, known = {}, false
for i = 1, count do keys[i] = ARGV[1 + 2 * i] end
local live = redis.call('HMGET', KEYS[1], unpack(keys))
-- mostly none is known: to count them is cheaper than to read them
local ended = redis.call('EXISTS', unpack(KEYS, FIXED + 1)) > 0 and redis.call('MGET', unpack(KEYS, FIXED + 1))
local skipped = redis.call('EXISTS', KEYS[2]) == 1 and redis.call('SMISMEMBER', KEYS[2], unpack(keys))
for i = 1, count do known = known or live[i] end

local answers, added, records, first, marked = 1, keys, ARGV, 3, {} -- all are new: they go in as they came
if known or ended or skipped then
  answers, added, records, first = {}, {}, {}, 1
  for i = 1, count do
    local key, past = keys[i], ended and ended[i]
    if live[i] then
      answers[i] = {'live', live[i]}
    elseif past and tonumber(string.match(past, '^%d+') or 0) > now then
      answers[i] = {'ended', string.match(past, '^%d+ (%x+)') or '0'}
    else
      answers[i] = 1
      if skipped and skipped[i] == 1 then marked[#marked + 1] = key end
      added[#added + 1] = key
      records[2 * #added - 1], records[2 * #added] = key, ARGV[2 + 2 * i]
    end
  end
  if #added == 0 then return answers end
end

redis.call('HSET', KEYS[1], unpack(records, first)) -- first: a full server refuses the whole here
for _, key in ipairs(marked) do
  redis.call('SREM', KEYS[2], key)
  take_out(key)
end
redis.call('RPUSH', lane, unpack(added))
redis.call('HINCRBY', KEYS[3], 'accepted', #added)
local tokens = {}
for i = 1, math.min(#added, 64 - redis.call('LLEN', KEYS[4])) do tokens[i] = '1' end
if #tokens > 0 then redis.call('RPUSH', KEYS[4], unpack(tokens)) end
return answers
