-- End waiting jobs for good; ask running ones to stop.
-- KEYS: jobs, leases, dead, delayed, skips, stops, claims, notes, progress, stats, recent, dues, wake:time,
--       then the ending of each job, then the runs of schedules
-- ARGV: now, channel, how many recent endings are kept, number of jobs; then for each job:
--       key, ending, how long to keep it, which of KEYS its schedule's runs are (0: none), schedule
-- Returns for each: 0 it is not waiting or running here, 1 cancelled, 2 asked to stop, 3 cancelled, but claimed before
local FIRST, WIDTH, FIXED = 5, 5, 13
local count = tonumber(ARGV[4])

local keys, members = {}, {}
for i = 1, count do
  local key = ARGV[FIRST + (i - 1) * WIDTH]
  keys[i] = key
  for priority = 0, 3 do members[#members + 1] = priority .. key end
end
local leased = redis.call('ZMSCORE', KEYS[2], unpack(keys))
local buried = redis.call('ZMSCORE', KEYS[3], unpack(keys))
local delayed = redis.call('ZMSCORE', KEYS[4], unpack(members))

local answers, seen, gone, waiting, marks, stops, runs, endings = {}, {}, {}, {}, {}, {}, {}, {}
for i, key in ipairs(keys) do
  local at = FIRST + (i - 1) * WIDTH
  if leased[i] then
    answers[i] = 2
    stops[#stops + 1] = key
  elseif buried[i] or seen[key] or redis.call('HEXISTS', KEYS[1], key) == 0 then
    answers[i] = 0
  else
    answers[i], seen[key] = 1 + 2 * redis.call('HEXISTS', KEYS[7], key), true
    gone[#gone + 1] = key
    local where = #waiting
    for m = 4 * i - 3, 4 * i do
      if delayed[m] then waiting[#waiting + 1] = members[m] end
    end
    -- a ready one stays in its list, which may be long, with a mark for the claim that meets it
    if #waiting == where then marks[#marks + 1] = key end
    endings[#endings + 1] = {KEYS[FIXED + i], ARGV[at + 1], ARGV[at + 2]}
    local run = tonumber(ARGV[at + 3])
    if run > 0 then runs[#runs + 1] = {KEYS[run], ARGV[at + 4], key} end
  end
end

if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone)) -- first: what shrinks is allowed on a full server
  redis.call('HDEL', KEYS[7], unpack(gone))
  redis.call('HDEL', KEYS[8], unpack(gone))
  redis.call('HDEL', KEYS[9], unpack(gone))
  if #waiting > 0 then redis.call('ZREM', KEYS[4], unpack(waiting)) end
  if #marks > 0 then redis.call('SADD', KEYS[5], unpack(marks)) end
  for _, ending in ipairs(endings) do redis.call('SET', ending[1], ending[2], 'PX', ending[3]) end
  redis.call('LPUSH', KEYS[11], unpack(gone))
  redis.call('LTRIM', KEYS[11], 0, ARGV[3] - 1)
  redis.call('HINCRBY', KEYS[10], 'cancelled', #gone)
  for _, run in ipairs(runs) do
    redis.call('SREM', run[1], run[3])
    -- the last of its runs frees a schedule that was held back by them
    if redis.call('ZSCORE', KEYS[12], run[2]) == 'inf' and redis.call('EXISTS', run[1]) == 0 then
      redis.call('ZADD', KEYS[12], ARGV[1], run[2])
      if redis.call('EXISTS', KEYS[13]) == 0 then redis.call('RPUSH', KEYS[13], '1') end
    end
  end
  redis.call('PUBLISH', ARGV[2], table.concat(gone, '\n'))
end
if #stops > 0 then
  redis.call('PERSIST', KEYS[6]) -- changes nothing, but only a script's first write is refused for lack of memory
  redis.call('SADD', KEYS[6], unpack(stops))
end
return answers
