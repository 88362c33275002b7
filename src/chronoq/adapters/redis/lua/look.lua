-- All that is known of some jobs. Reads only.
-- KEYS: jobs, claims, notes, progress, leases, dead, delayed, stops, then the ending of each job
-- ARGV: the jobs' keys
-- Returns: records, claims, notes, progress, lease ends, times of death, due times, whether they were asked
--       to stop, endings; each with one entry for each job
local dues, endings, members, places = {}, {}, {}, {}
for i, key in ipairs(ARGV) do members[i], endings[i] = '2' .. key, KEYS[8 + i] end
-- by its priority, which nobody knows: most have the usual one
for i, due in ipairs(redis.call('ZMSCORE', KEYS[7], unpack(members))) do
  dues[i] = due
  if not due then places[#places + 1] = i end
end
if #places > 0 then
  local others = {}
  for _, i in ipairs(places) do
    for _, priority in ipairs({0, 1, 3}) do others[#others + 1] = priority .. ARGV[i] end
  end
  local found = redis.call('ZMSCORE', KEYS[7], unpack(others))
  for n, i in ipairs(places) do dues[i] = found[3 * n - 2] or found[3 * n - 1] or found[3 * n] end
end
return {
  redis.call('HMGET', KEYS[1], unpack(ARGV)),
  redis.call('HMGET', KEYS[2], unpack(ARGV)),
  redis.call('HMGET', KEYS[3], unpack(ARGV)),
  redis.call('HMGET', KEYS[4], unpack(ARGV)),
  redis.call('ZMSCORE', KEYS[5], unpack(ARGV)),
  redis.call('ZMSCORE', KEYS[6], unpack(ARGV)),
  dues,
  redis.call('SMISMEMBER', KEYS[8], unpack(ARGV)),
  redis.call('MGET', unpack(endings)),
}
