-- Remove schedules with their ledgers. Their jobs stay, and so do their runs, until those have ended.
-- KEYS: schedules, cursors, dues, failures, then the ledger of each schedule
-- ARGV: the schedules
-- Returns for each: 1, or 0 when there was none
local answers = {}
for i, id in ipairs(ARGV) do
  local had = redis.call('HDEL', KEYS[1], id) + redis.call('HDEL', KEYS[2], id)
  answers[i] = math.min(had, 1)
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
  redis.call('DEL', KEYS[4 + i])
end
return answers
