-- End leases, each with its verdict, if it is held by its worker under its token.
-- KEYS: leases, claims, jobs, notes, progress, stops, dead, stats, recent, delayed, dues, failures,
--       wake:work, wake:time, ready:0 .. ready:3, then the ending of each job, then the runs of schedules
-- ARGV: now, channel, how many recent endings are kept, number of verdicts; then for each verdict:
--       key, token:worker, verdict (done | cancelled | expired | retry | snooze | release | dead),
--       when it runs again, excused (0 | 1), crashed (0, or the end of the lease that ran out), priority, note,
--       ending (of a job that waits or runs again: the one it has if it was asked to stop), how long to keep it,
--       which of KEYS its schedule's runs are (0: none), schedule
--       (of several that are released, the last one comes to the very front)
-- Returns for each: 1, or 0 when nothing has changed
local FIRST, WIDTH, FIXED = 5, 12, 18
local AGAIN = {retry = true, snooze = true, release = true}
local now, count = tonumber(ARGV[1]), tonumber(ARGV[4])

local keys = {}
for i = 1, count do keys[i] = ARGV[FIRST + (i - 1) * WIDTH] end
local leased = redis.call('ZMSCORE', KEYS[1], unpack(keys))
local claims = redis.call('HMGET', KEYS[2], unpack(keys))
local stopped = redis.call('SMISMEMBER', KEYS[6], unpack(keys))
local delayed = redis.call('ZRANGE', KEYS[10], 0, 0, 'WITHSCORES')[2]
local watched = redis.call('ZRANGE', KEYS[11], 0, 0, 'WITHSCORES')[2]
local earliest = math.min(tonumber(delayed) or math.huge, tonumber(watched) or math.huge)

local answers, held, written, notes, stats = {}, {}, {}, {}, {}
local gone, endings, heard, buried, runs = {}, {}, {}, {}, {}
local later, back, front, made, sooner = {}, {}, {}, 0, false
local function tally(name) stats[name] = (stats[name] or 0) + 1 end

local seen = {}
for i = 1, count do
  local at = FIRST + (i - 1) * WIDTH
  local key, verdict, again, priority = keys[i], ARGV[at + 2], ARGV[at + 3], ARGV[at + 6]
  local token, excused, crashes, worker = string.match(claims[i] or '', '^(%d+):(%d+):(%d+):(.*)$')
  if not token then token, excused, crashes, worker = '0', '0', '0', '' end
  local lapsed = ARGV[at + 5] ~= '0'
  if not leased[i] or seen[key] or token .. ':' .. worker ~= ARGV[at + 1] then
    answers[i] = 0
  elseif lapsed and tonumber(leased[i]) ~= tonumber(ARGV[at + 5]) then
    answers[i] = 0 -- extended since: its worker lives
  else
    answers[i], seen[key] = 1, true
    held[#held + 1] = key
    if lapsed then tally('crashed') end
    if AGAIN[verdict] and stopped[i] == 1 then verdict = 'cancelled' end -- it never starts again
    if AGAIN[verdict] or verdict == 'dead' then
      written[#written + 1] = key
      written[#written + 1] = table.concat({token, excused + ARGV[at + 4], crashes + (lapsed and 1 or 0), worker}, ':')
      if verdict ~= 'release' then
        notes[#notes + 1] = key
        notes[#notes + 1] = ARGV[at + 7]
      end
    end
    if verdict == 'retry' and not lapsed then tally('retried') end
    if verdict == 'dead' then
      buried[#buried + 1] = ARGV[1]
      buried[#buried + 1] = key
    elseif not AGAIN[verdict] then
      tally(verdict)
      gone[#gone + 1] = key
      endings[#endings + 1] = {KEYS[FIXED + i], ARGV[at + 8], ARGV[at + 9]}
    elseif tonumber(again) > now then
      sooner = sooner or tonumber(again) < earliest
      later[#later + 1] = again
      later[#later + 1] = priority .. key
    else
      local lanes = verdict == 'release' and front or back
      lanes[priority] = lanes[priority] or {}
      table.insert(lanes[priority], key)
      made = made + 1
    end
    if not AGAIN[verdict] then
      heard[#heard + 1] = key
      local run = tonumber(ARGV[at + 10])
      if run > 0 then runs[#runs + 1] = {KEYS[run], ARGV[at + 11], key, verdict} end
    end
  end
end
if #held == 0 then return answers end

redis.call('ZREM', KEYS[1], unpack(held)) -- first: what shrinks is allowed on a full server
redis.call('HDEL', KEYS[5], unpack(held))
redis.call('SREM', KEYS[6], unpack(held))
if #gone > 0 then
  redis.call('HDEL', KEYS[3], unpack(gone))
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('HDEL', KEYS[4], unpack(gone))
  for _, ending in ipairs(endings) do redis.call('SET', ending[1], ending[2], 'PX', ending[3]) end
  redis.call('LPUSH', KEYS[9], unpack(gone))
  redis.call('LTRIM', KEYS[9], 0, ARGV[3] - 1)
end
if #written > 0 then redis.call('HSET', KEYS[2], unpack(written)) end
if #notes > 0 then redis.call('HSET', KEYS[4], unpack(notes)) end
if #buried > 0 then redis.call('ZADD', KEYS[7], unpack(buried)) end
if #later > 0 then redis.call('ZADD', KEYS[10], unpack(later)) end
for priority, lane in pairs(back) do redis.call('RPUSH', KEYS[15 + priority], unpack(lane)) end
for priority, lane in pairs(front) do redis.call('LPUSH', KEYS[15 + priority], unpack(lane)) end
for name, more in pairs(stats) do redis.call('HINCRBY', KEYS[8], name, more) end

for _, run in ipairs(runs) do
  local place, schedule, key, verdict = unpack(run)
  redis.call('SREM', place, key)
  if verdict == 'done' then redis.call('HDEL', KEYS[12], schedule) end
  if verdict == 'dead' then redis.call('HINCRBY', KEYS[12], schedule, 1) end
  -- the last of its runs frees a schedule that was held back by them
  if redis.call('ZSCORE', KEYS[11], schedule) == 'inf' and redis.call('EXISTS', place) == 0 then
    redis.call('ZADD', KEYS[11], ARGV[1], schedule)
    sooner = true
  end
end

if made > 0 then
  local tokens = {}
  for i = 1, math.min(made, 64 - redis.call('LLEN', KEYS[13])) do tokens[i] = '1' end
  if #tokens > 0 then redis.call('RPUSH', KEYS[13], unpack(tokens)) end
end
if sooner and redis.call('EXISTS', KEYS[14]) == 0 then redis.call('RPUSH', KEYS[14], '1') end
if #heard > 0 then redis.call('PUBLISH', ARGV[2], table.concat(heard, '\n')) end
return answers
