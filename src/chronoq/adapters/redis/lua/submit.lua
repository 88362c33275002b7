-- Store new jobs, each at most once by its key: ready when due, else delayed.
-- KEYS: jobs, skips, stats, delayed, dues, wake:work, wake:time, ready:0 .. ready:3,
--       then the ending of each job, then the runs of schedules
-- ARGV: now, room (-1: no bound), number of jobs; then for each job:
--       key, priority, due, which of KEYS its schedule's runs are (0: none), record
-- Returns for each job: 1 stored, 2 no room, {'live', record} or {'ended', fingerprint} of the job that has the key
local FIRST, WIDTH, FIXED = 4, 5, 11
local now, room, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local keys, endings = {}, {}
for i = 1, count do
  keys[i] = ARGV[FIRST + (i - 1) * WIDTH]
  endings[i] = KEYS[FIXED + i]
end
local live = redis.call('HMGET', KEYS[1], unpack(keys))
local skipped = redis.call('SMISMEMBER', KEYS[2], unpack(keys))
local ended = redis.call('MGET', unpack(endings))
local size = room >= 0 and redis.call('HLEN', KEYS[1]) or 0

local answers, new, marked = {}, {}, {}
local records, later, ready, runs, made, first = {}, {}, {}, {}, 0, math.huge
for i = 1, count do
  local at = FIRST + (i - 1) * WIDTH
  local key, priority, due, run, record = keys[i], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4]
  local known = live[i] or new[key]
  if known then
    answers[i] = {'live', known}
  elseif ended[i] and tonumber(string.match(ended[i], '^%d+') or 0) > now then
    answers[i] = {'ended', string.match(ended[i], '^%d+ (%x+)') or '0'}
  elseif room >= 0 and size >= room then
    answers[i] = 2
  else
    answers[i] = 1
    new[key] = record
    if skipped[i] == 1 then marked[#marked + 1] = key end
    size = size + 1
    records[#records + 1] = key
    records[#records + 1] = record
    if run > 0 then runs[#runs + 1] = {KEYS[run], key} end
    if tonumber(due) <= now then
      made = made + 1
      ready[priority] = ready[priority] or {}
      table.insert(ready[priority], key)
    else
      first = math.min(first, tonumber(due))
      later[#later + 1] = due
      later[#later + 1] = priority .. key
    end
  end
end
if #records == 0 then return answers end
local sooner = false
if #later > 0 then
  local delayed = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
  local watched = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2]
  sooner = first < math.min(tonumber(delayed) or math.huge, tonumber(watched) or math.huge)
end

redis.call('HSET', KEYS[1], unpack(records)) -- first: a full server refuses the whole here
-- a forgotten job that was cancelled while ready has left its place in line: the new one takes none of it
for _, key in ipairs(marked) do
  redis.call('SREM', KEYS[2], key)
  for lane = 8, 11 do redis.call('LREM', KEYS[lane], 1, key) end
end
if #later > 0 then redis.call('ZADD', KEYS[4], unpack(later)) end
for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[8 + priority], unpack(lane)) end
for _, run in ipairs(runs) do redis.call('SADD', run[1], run[2]) end
redis.call('HINCRBY', KEYS[3], 'accepted', #records / 2)
if made > 0 then
  local tokens = {}
  for i = 1, math.min(made, 64 - redis.call('LLEN', KEYS[6])) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', KEYS[6], unpack(tokens)) end
end
if sooner and redis.call('EXISTS', KEYS[7]) == 0 then redis.call('RPUSH', KEYS[7], '1') end
return answers
