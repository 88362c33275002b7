-- Remove dead letters for good.
-- KEYS: dead, jobs, claims, notes, progress, stats
-- ARGV: the jobs' keys
-- Returns for each: 1, or 0 when it is not dead
local buried = redis.call('ZMSCORE', KEYS[1], unpack(ARGV))
local answers, seen, gone = {}, {}, {}
for i, key in ipairs(ARGV) do
  answers[i] = (buried[i] and not seen[key]) and 1 or 0
  seen[key] = true
  if answers[i] == 1 then gone[#gone + 1] = key end
end
if #gone == 0 then return answers end

redis.call('ZREM', KEYS[1], unpack(gone)) -- first: what shrinks is allowed on a full server
for i = 2, 5 do redis.call('HDEL', KEYS[i], unpack(gone)) end
redis.call('HINCRBY', KEYS[6], 'purged', #gone)
return answers
