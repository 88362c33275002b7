-- Apply steps of schedules, each if its cursor is the expected one and no younger leader has been seen.
-- KEYS: cursors, dues, fence, jobs, skips, stats, delayed, wake:work, wake:time, ready:0 .. ready:3, leases, stops,
--       failures, then for each step the schedule's runs and its ledger, then the ending of each job
-- ARGV: now, fence ('': none is needed), how long a ledger gets, number of steps; then for each step:
--       schedule, expected cursor, new cursor, when to look at it again ('': never, +inf: when its runs have ended),
--       whether its runs are asked to stop (0 | 1), whether its failures are forgotten (0 | 1),
--       number of jobs, number of outcomes,
--       then the outcomes, then for each job: key, priority, due, whether it is a run of it (0 | 1), record
-- Returns for each step: 1 applied, 2 its cursor is another one, 3 a younger leader has been seen
local FIXED = 16
local now, fence, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
local answers = {}
local seen = tonumber(redis.call('GET', KEYS[3]) or 0) or 0
if fence and fence < seen then
  for i = 1, count do answers[i] = 3 end
  return answers
end

local steps, ids, keys, endings, at = {}, {}, {}, {}, 5
for i = 1, count do
  local step = {runs = KEYS[FIXED + 2 * i - 1], ledger = KEYS[FIXED + 2 * i], at = at, outcomes = {}, first = #keys + 1}
  step.jobs = tonumber(ARGV[at + 6])
  local outcomes = tonumber(ARGV[at + 7])
  for o = 1, outcomes do step.outcomes[o] = ARGV[at + 7 + o] end
  step.job = at + 8 + outcomes
  for j = 1, step.jobs do
    keys[#keys + 1] = ARGV[step.job + 5 * (j - 1)]
    endings[#keys] = KEYS[FIXED + 2 * count + #keys]
  end
  at = step.job + 5 * step.jobs
  steps[i], ids[i] = step, ARGV[step.at]
end

local stored = redis.call('HMGET', KEYS[1], unpack(ids))
local live, skipped, ended = {}, {}, {}
if #keys > 0 then
  live = redis.call('HMGET', KEYS[4], unpack(keys))
  skipped = redis.call('SMISMEMBER', KEYS[5], unpack(keys))
  ended = redis.call('MGET', unpack(endings))
end
local delayed = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')[2]
local watched = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local earliest = math.min(tonumber(delayed) or math.huge, tonumber(watched) or math.huge)

local applied, moved, new, made, sooner = {}, {}, {}, 0, false
local records, cursors, later, ready, marked = {}, {}, {}, {}, {}
for i, step in ipairs(steps) do
  local id = ids[i]
  if (moved[id] or stored[i]) ~= ARGV[step.at + 1] then
    answers[i] = 2
  else
    answers[i] = 1
    applied[#applied + 1] = i
    moved[id] = ARGV[step.at + 2]
    cursors[#cursors + 1] = id
    cursors[#cursors + 1] = moved[id]
    step.added = {}
    for j = 1, step.jobs do
      local n, from = step.first + j - 1, step.job + 5 * (j - 1)
      local key, priority, due = keys[n], ARGV[from + 1], ARGV[from + 2]
      local known = ended[n] and tonumber(string.match(ended[n], '^%d+') or 0) > now
      if not (live[n] or new[key] or known) then
        new[key] = true
        if skipped[n] == 1 then marked[#marked + 1] = key end
        records[#records + 1] = key
        records[#records + 1] = ARGV[from + 4]
        if ARGV[from + 3] == '1' then table.insert(step.added, key) end
        if tonumber(due) <= now then
          made = made + 1
          ready[priority] = ready[priority] or {}
          table.insert(ready[priority], key)
        else
          sooner = sooner or tonumber(due) < earliest
          later[#later + 1] = due
          later[#later + 1] = priority .. key
        end
      end
    end
  end
end

if fence and fence > seen then redis.call('SET', KEYS[3], ARGV[2]) end -- refused, as is all that follows, on a full server
if #applied == 0 then return answers end
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
if #later > 0 then redis.call('ZADD', KEYS[7], unpack(later)) end
for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[10 + priority], unpack(lane)) end

for _, i in ipairs(applied) do
  local step, wake = steps[i], ARGV[steps[i].at + 3]
  if ARGV[step.at + 5] == '1' then redis.call('HDEL', KEYS[16], ids[i]) end
  if ARGV[step.at + 4] == '1' then
    for _, key in ipairs(redis.call('SMEMBERS', step.runs)) do
      if redis.call('ZSCORE', KEYS[14], key) then redis.call('SADD', KEYS[15], key) end
    end
  end
  if #step.added > 0 then redis.call('SADD', step.runs, unpack(step.added)) end
  -- held, but the last run has ended since that was decided: look again at once
  if wake == '+inf' and redis.call('EXISTS', step.runs) == 0 then wake = ARGV[1] end
  if wake == '' then
    redis.call('ZREM', KEYS[2], ids[i])
  else
    redis.call('ZADD', KEYS[2], wake, ids[i])
    sooner = sooner or (tonumber(wake) or math.huge) < earliest
  end
  if #step.outcomes > 0 then
    redis.call('LPUSH', step.ledger, unpack(step.outcomes))
    redis.call('LTRIM', step.ledger, 0, ARGV[3] - 1)
  end
end

if made > 0 then
  local tokens = {}
  for i = 1, math.min(made, 64 - redis.call('LLEN', KEYS[8])) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', KEYS[8], unpack(tokens)) end
end
if sooner and redis.call('EXISTS', KEYS[9]) == 0 then redis.call('RPUSH', KEYS[9], '1') end
return answers
