-- Schedules to look at now. Reads only: fire compares the cursors.
-- KEYS: dues, schedules, cursors, failures
-- ARGV: now, how many at most
-- Returns: the schedules, their records, their cursors, their failures in a row (none, when no schedule of the
--       queue has any), and when to look at the next one after those ('': not before something happens)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
local following = redis.call('ZRANGE', KEYS[1], #ids, #ids, 'WITHSCORES')[2] or ''
if following == 'inf' then following = '' end
if #ids == 0 then return {ids, {}, {}, {}, following} end
return {
  ids,
  redis.call('HMGET', KEYS[2], unpack(ids)),
  redis.call('HMGET', KEYS[3], unpack(ids)),
  redis.call('EXISTS', KEYS[4]) == 1 and redis.call('HMGET', KEYS[4], unpack(ids)) or {},
  following,
}
