-- Store live jobs as they stood in another store, each at most once by its key.
-- KEYS: jobs, skips, stats, delayed, claims, notes, dead, wake:work, wake:time, ready:0 .. ready:3,
--       then the ending of each job, then the runs of schedules
-- ARGV: now, number of jobs; then for each job:
--       key, place (delayed | ready | dead), priority, when it is due or died, history ('': never claimed),
--       note ('': none), which of KEYS its schedule's runs are (0: none), record
-- Returns for each job: 1 stored, {'live', record} or {'ended', fingerprint} of the job that has the key
local FIRST, WIDTH, FIXED = 3, 8, 13
local now, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local keys, endings = {}, {}
for i = 1, count do
  keys[i] = ARGV[FIRST + (i - 1) * WIDTH]
  endings[i] = KEYS[FIXED + i]
end
local live = redis.call('HMGET', KEYS[1], unpack(keys))
local skipped = redis.call('SMISMEMBER', KEYS[2], unpack(keys))
local ended = redis.call('MGET', unpack(endings))

local answers, new, marked = {}, {}, {}
local records, claims, notes, later, buried, ready, runs, made = {}, {}, {}, {}, {}, {}, {}, 0
for i, key in ipairs(keys) do
  local at = FIRST + (i - 1) * WIDTH
  local place, priority, run = ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 6])
  local known = live[i] or new[key]
  if known then
    answers[i] = {'live', known}
  elseif ended[i] and tonumber(string.match(ended[i], '^%d+') or 0) > now then
    answers[i] = {'ended', string.match(ended[i], '^%d+ (%x+)') or '0'}
  else
    answers[i], new[key] = 1, ARGV[at + 7]
    if skipped[i] == 1 then marked[#marked + 1] = key end
    records[#records + 1] = key
    records[#records + 1] = ARGV[at + 7]
    if ARGV[at + 4] ~= '' then
      claims[#claims + 1] = key
      claims[#claims + 1] = ARGV[at + 4]
    end
    if ARGV[at + 5] ~= '' then
      notes[#notes + 1] = key
      notes[#notes + 1] = ARGV[at + 5]
    end
    if run > 0 then runs[#runs + 1] = {KEYS[run], key} end
    if place == 'dead' then
      buried[#buried + 1] = ARGV[at + 3]
      buried[#buried + 1] = key
    elseif place == 'delayed' then
      later[#later + 1] = ARGV[at + 3]
      later[#later + 1] = priority .. key
    else
      made = made + 1
      ready[priority] = ready[priority] or {}
      table.insert(ready[priority], key)
    end
  end
end
if #records == 0 then return answers end

redis.call('HSET', KEYS[1], unpack(records)) -- first: a full server refuses the whole here
-- a forgotten job that was cancelled while ready has left its place in line: the new one takes none of it
for _, key in ipairs(marked) do
  redis.call('SREM', KEYS[2], key)
  for lane = 10, 13 do redis.call('LREM', KEYS[lane], 1, key) end
end
if #claims > 0 then redis.call('HSET', KEYS[5], unpack(claims)) end
if #notes > 0 then redis.call('HSET', KEYS[6], unpack(notes)) end
if #buried > 0 then redis.call('ZADD', KEYS[7], unpack(buried)) end
if #later > 0 then redis.call('ZADD', KEYS[4], unpack(later)) end
for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[10 + priority], unpack(lane)) end
for _, run in ipairs(runs) do redis.call('SADD', run[1], run[2]) end
redis.call('HINCRBY', KEYS[3], 'accepted', #records / 2)
local tokens = {}
for i = 1, math.min(made, 64 - redis.call('LLEN', KEYS[8])) do tokens[i] = '1' end
if #tokens > 0 then redis.call('RPUSH', KEYS[8], unpack(tokens)) end
if #later > 0 and redis.call('EXISTS', KEYS[9]) == 0 then redis.call('RPUSH', KEYS[9], '1') end
return answers
