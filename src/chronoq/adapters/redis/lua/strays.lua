-- Look through the records of a queue for those that stand in no sorted place: ready, or nowhere. Reads only.
-- KEYS: jobs, delayed, leases, dead, claims, stats
-- ARGV: where to go on, how many at most
-- Returns: where to go on, how many dead letters were purged so far, then keys and their claims in turn
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = {page[1], redis.call('HGET', KEYS[6], 'purged') or '0'}
for i = 1, #page[2], 2 do
  local key = page[2][i]
  local placed = redis.call('ZSCORE', KEYS[3], key) or redis.call('ZSCORE', KEYS[4], key)
  for priority = 0, 3 do placed = placed or redis.call('ZSCORE', KEYS[2], priority .. key) end
  if not placed then
    reply[#reply + 1] = key
    reply[#reply + 1] = redis.call('HGET', KEYS[5], key) or ''
  end
end
return reply
