-- Apply steps of schedules, each if its cursor is the expected one and no younger leader has been seen.
-- KEYS: cursors, dues, fence, jobs, skips, stats, delayed, wake:work, wake:time, ready:0 .. ready:3, leases, stops,
--       failures, then for each step the schedule's runs and its ledger, then the ending of each job
-- ARGV: now, fence ('': none is needed), how long a ledger gets, number of steps; then for each step:
--       schedule, expected cursor, new cursor, when to look at it again ('': never, +inf: when its runs have ended),
--       its shape: number of jobs, number of outcomes, whether its runs are asked to stop (0 | 1), whether its failures
--       are forgotten (0 | 1), as one word with spaces;
--       then the outcomes, then for each job: key, priority, due, whether it is a run of it (0 | 1), record
-- Returns for each step: 1 applied, 2 its cursor is another one, 3 a younger leader has been seen
local FIXED = 16
local now, fence, most, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local answers = {}
local seen = tonumber(redis.call('GET', KEYS[3]) or 0) or 0
if fence and fence < seen then
  for i = 1, count do answers[i] = 3 end
  return answers
end

local known = {}
local function shape(word)
  if not known[word] then
    local jobs, outcomes, stop, forgive = string.match(word, '^(%d+) (%d+) (%d) (%d)$')
    known[word] = {jobs = tonumber(jobs), outcomes = tonumber(outcomes), stop = stop == '1', forgive = forgive == '1'}
  end
  return known[word]
end

-- where the words of each step begin, and those of its first job; which is its last one
local steps, shapes, first, last, ids, keys, at = {}, {}, {}, {}, {}, {}, 5
for i = 1, count do
  steps[i], shapes[i], ids[i] = at, shape(ARGV[at + 4]), ARGV[at]
  first[i] = at + 5 + shapes[i].outcomes
  at = first[i]
  for _ = 1, shapes[i].jobs do
    keys[#keys + 1] = ARGV[at]
    at = at + 5
  end
  last[i] = #keys
end

local stored = redis.call('HMGET', KEYS[1], unpack(ids))
local live, skipped, ended = {}, {}, {}
if #keys > 0 then
  live = redis.call('HMGET', KEYS[4], unpack(keys))
  if redis.call('EXISTS', KEYS[5]) == 1 then skipped = redis.call('SMISMEMBER', KEYS[5], unpack(keys)) end
  ended = redis.call('MGET', unpack(KEYS, FIXED + 2 * count + 1))
end
local delayed = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]
local watched = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local earliest = math.min(tonumber(delayed) or math.huge, tonumber(watched) or math.huge)

local moved, new, added, made, sooner = {}, {}, {}, 0, false
local records, cursors, later, ready, marked = {}, {}, {}, {}, {}
for i = 1, count do
  local id, at, from = ids[i], steps[i], first[i]
  if (moved[id] or stored[i]) ~= ARGV[at + 1] then
    answers[i] = 2
  else
    answers[i], moved[id] = 1, ARGV[at + 2]
    cursors[#cursors + 1] = id
    cursors[#cursors + 1] = moved[id]
    for job = (last[i - 1] or 0) + 1, last[i] do
      local key, priority, due = keys[job], ARGV[from + 1], ARGV[from + 2]
      local remembered = ended[job] and tonumber(string.match(ended[job], '^%d+') or 0) > now
      if not (live[job] or new[key] or remembered) then
        new[key] = true
        if skipped[job] == 1 then marked[#marked + 1] = key end
        records[#records + 1] = key
        records[#records + 1] = ARGV[from + 4]
        if ARGV[from + 3] == '1' then
          added[#added + 1] = KEYS[FIXED + 2 * i - 1]
          added[#added + 1] = key
        end
        if tonumber(due) <= now then
          made = made + 1
          local lane = ready[priority] or {}
          lane[#lane + 1], ready[priority] = key, lane
        else
          sooner = sooner or tonumber(due) < earliest
          later[#later + 1] = due
          later[#later + 1] = priority .. key
        end
      end
      from = from + 5
    end
  end
end

if fence and fence > seen then redis.call('SET', KEYS[3], ARGV[2]) end -- refused, as is all that follows, on a full server
if #cursors == 0 then return answers end
if #records > 0 then
  redis.call('HSET', KEYS[4], unpack(records))
  redis.call('HINCRBY', KEYS[6], 'accepted', #records / 2)
end
-- a forgotten job that was cancelled while ready has left its place in line: the new one takes none of it
for _, key in ipairs(marked) do
  redis.call('SREM', KEYS[5], key)
  for lane = 10, 13 do redis.call('LREM', KEYS[lane], 1, key) end
end
redis.call('HSET', KEYS[1], unpack(cursors))
for at = 1, #added, 2 do redis.call('SADD', added[at], added[at + 1]) end
if #later > 0 then redis.call('ZADD', KEYS[7], unpack(later)) end
for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[10 + priority], unpack(lane)) end

local wakes = {}
for i = 1, count do
  local at = steps[i]
  if answers[i] == 1 then
    local wake, runs, ledger = ARGV[at + 3], KEYS[FIXED + 2 * i - 1], KEYS[FIXED + 2 * i]
    if shapes[i].forgive then redis.call('HDEL', KEYS[16], ids[i]) end
    if shapes[i].stop then
      for _, key in ipairs(redis.call('SMEMBERS', runs)) do
        if redis.call('ZSCORE', KEYS[14], key) then redis.call('SADD', KEYS[15], key) end
      end
    end
    -- held, but the last run has ended since that was decided: look again at once
    if wake == '+inf' and redis.call('EXISTS', runs) == 0 then wake = ARGV[1] end
    if wake ~= '' then sooner = sooner or (tonumber(wake) or math.huge) < earliest end
    wakes[ids[i]] = wake
    if first[i] > at + 5 then
      local long = redis.call('LPUSH', ledger, unpack(ARGV, at + 5, first[i] - 1))
      if long > most then redis.call('LTRIM', ledger, 0, most - 1) end
    end
  end
end
local watch, leave = {}, {}
for id, wake in pairs(wakes) do
  if wake == '' then
    leave[#leave + 1] = id
  else
    watch[#watch + 1] = wake
    watch[#watch + 1] = id
  end
end
if #leave > 0 then redis.call('ZREM', KEYS[2], unpack(leave)) end
if #watch > 0 then redis.call('ZADD', KEYS[2], unpack(watch)) end

if made > 0 then
  local tokens = {}
  for i = 1, math.min(made, 64 - redis.call('LLEN', KEYS[8])) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', KEYS[8], unpack(tokens)) end
end
if sooner and redis.call('EXISTS', KEYS[9]) == 0 then redis.call('RPUSH', KEYS[9], '1') end
return answers
