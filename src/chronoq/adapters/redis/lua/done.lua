-- End leases of jobs that are done and are no runs of schedules, each if it is held by its worker under its token.
-- What settle does for them, in fewer words: nearly all jobs end so.
-- KEYS: leases, claims, jobs, notes, progress, stops, stats, recent, then the ending of each job
-- ARGV: channel, how many recent endings are kept, how long to keep an ending; then for each: key, its claim, ending
-- Returns for each: 1, or 0 when nothing has changed
local FIXED, count = 8, (#ARGV - 3) / 3
local keys = {}
for i = 1, count do keys[i] = ARGV[3 * i + 1] end
local leased = redis.call('ZMSCORE', KEYS[1], unpack(keys))
local claims = redis.call('HMGET', KEYS[2], unpack(keys))

local answers, gone, seen = {}, {}, {}
for i, key in ipairs(keys) do
  if not leased[i] or seen[key] or claims[i] ~= ARGV[3 * i + 2] then
    answers[i] = 0
  else
    answers[i], seen[key] = 1, true
    gone[#gone + 1] = key
  end
end
if #gone == 0 then return answers end

redis.call('ZREM', KEYS[1], unpack(gone)) -- first: what shrinks is allowed on a full server
redis.call('HDEL', KEYS[2], unpack(gone))
redis.call('HDEL', KEYS[3], unpack(gone))
-- mostly there are none: to ask first is cheaper than to name all jobs to each
for _, place in ipairs({KEYS[4], KEYS[5]}) do
  if redis.call('EXISTS', place) == 1 then redis.call('HDEL', place, unpack(gone)) end
end
if redis.call('EXISTS', KEYS[6]) == 1 then redis.call('SREM', KEYS[6], unpack(gone)) end
for i = 1, count do
  if answers[i] == 1 then redis.call('SET', KEYS[FIXED + i], ARGV[3 * i + 3], 'PX', ARGV[3]) end
end
redis.call('LPUSH', KEYS[8], unpack(gone))
redis.call('LTRIM', KEYS[8], 0, ARGV[2] - 1)
redis.call('HINCRBY', KEYS[7], 'done', #gone)
redis.call('PUBLISH', ARGV[1], table.concat(gone, '\n'))
return answers
