-- Put back jobs that a sweep met nowhere, and drop marks of skips that it met nowhere.
-- KEYS: jobs, delayed, leases, dead, claims, notes, skips, stats, wake:work, wake:time, ready:0 .. ready:3
-- ARGV: now, dead letters purged when the jobs were looked for, note, number of marks, the marks;
--       then for each job: key, its claims by then, when it is due ('': it is dead), priority
-- Returns: how many marks were dropped, then for each job 1, or 0 when it has moved meanwhile
local now, marks, WIDTH = tonumber(ARGV[1]), tonumber(ARGV[4]), 4
local answers = {0}
-- a purged id is free at once, so what stands under it now may be another job
local same = (redis.call('HGET', KEYS[8], 'purged') or '0') == ARGV[2]
redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
for i = 5, 4 + marks do answers[1] = answers[1] + redis.call('SREM', KEYS[7], ARGV[i]) end

local made, later, mended = 0, false, answers[1]
for at = 5 + marks, #ARGV, WIDTH do
  local key, due = ARGV[at], ARGV[at + 2]
  local moved = not same or redis.call('HEXISTS', KEYS[1], key) == 0
  moved = moved or (redis.call('HGET', KEYS[5], key) or '') ~= ARGV[at + 1]
  moved = moved or redis.call('ZSCORE', KEYS[3], key) or redis.call('ZSCORE', KEYS[4], key)
  for priority = 0, 3 do moved = moved or redis.call('ZSCORE', KEYS[2], priority .. key) end
  if moved then
    answers[#answers + 1] = 0
  else
    answers[#answers + 1] = 1
    mended = mended + 1
    if due == '' then
      redis.call('ZADD', KEYS[4], ARGV[1], key)
    elseif tonumber(due) > now then
      redis.call('ZADD', KEYS[2], due, ARGV[at + 3] .. key)
      later = true
    else
      redis.call('RPUSH', KEYS[11 + ARGV[at + 3]], key)
      made = made + 1
    end
    redis.call('HSETNX', KEYS[6], key, ARGV[3])
  end
end
if mended > 0 then redis.call('HINCRBY', KEYS[8], 'mended', mended) end
local tokens = {}
for i = 1, math.min(made, 64 - redis.call('LLEN', KEYS[9])) do tokens[i] = '1' end
if #tokens > 0 then redis.call('RPUSH', KEYS[9], unpack(tokens)) end
if later and redis.call('EXISTS', KEYS[10]) == 0 then redis.call('RPUSH', KEYS[10], '1') end
return answers
