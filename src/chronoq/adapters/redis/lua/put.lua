-- Store a schedule with its cursor, if the cursor is the expected one.
-- KEYS: schedules, cursors, dues, delayed, wake:time, the schedule's runs
-- ARGV: now, schedule, record, new cursor, expected cursor ('': none),
--       when to look at it ('': never, +inf: when its runs have ended)
-- Returns: 1, or 0 when the cursor is another one
local id, wake = ARGV[2], ARGV[6]
if (redis.call('HGET', KEYS[2], id) or '') ~= ARGV[5] then return 0 end
local delayed = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')[2]
local watched = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
local earliest = math.min(tonumber(delayed) or math.huge, tonumber(watched) or math.huge)
-- held, but the last run has ended since that was decided: look again at once
if wake == '+inf' and redis.call('EXISTS', KEYS[6]) == 0 then wake = ARGV[1] end

redis.call('HSET', KEYS[1], id, ARGV[3]) -- first: a full server refuses the whole here
redis.call('HSET', KEYS[2], id, ARGV[4])
if wake == '' then
  redis.call('ZREM', KEYS[3], id)
else
  redis.call('ZADD', KEYS[3], wake, id)
  local sooner = (tonumber(wake) or math.huge) < earliest
  if sooner and redis.call('EXISTS', KEYS[5]) == 0 then redis.call('RPUSH', KEYS[5], '1') end
end
return 1
