-- Put dead letters back to ready, with attempts and crashes forgotten.
-- KEYS: dead, claims, wake:work, ready:0 .. ready:3, then the runs of schedules
-- ARGV: for each job: key, priority, which of KEYS its schedule's runs are (0: none)
-- Returns for each: 1, or 0 when it is not dead
local keys = {}
for i = 1, #ARGV, 3 do keys[#keys + 1] = ARGV[i] end
local buried = redis.call('ZMSCORE', KEYS[1], unpack(keys))
local claims = redis.call('HMGET', KEYS[2], unpack(keys))

local answers, seen, back, written, ready, runs = {}, {}, {}, {}, {}, {}
for i, key in ipairs(keys) do
  local priority, run = ARGV[3 * i - 1], tonumber(ARGV[3 * i])
  if not buried[i] or seen[key] then
    answers[i] = 0
  else
    answers[i], seen[key] = 1, true
    back[#back + 1] = key
    local token, worker = string.match(claims[i] or '', '^(%d+):%d+:%d+:(.*)$')
    if token then
      written[#written + 1] = key
      written[#written + 1] = table.concat({token, token, 0, worker}, ':')
    end
    ready[priority] = ready[priority] or {}
    table.insert(ready[priority], key)
    if run > 0 then runs[#runs + 1] = {KEYS[run], key} end
  end
end
if #back == 0 then return answers end

redis.call('ZREM', KEYS[1], unpack(back)) -- first: what shrinks is allowed on a full server
if #written > 0 then redis.call('HSET', KEYS[2], unpack(written)) end
for priority, lane in pairs(ready) do redis.call('RPUSH', KEYS[4 + priority], unpack(lane)) end
for _, run in ipairs(runs) do redis.call('SADD', run[1], run[2]) end
local tokens = {}
for i = 1, math.min(#back, 64 - redis.call('LLEN', KEYS[3])) do tokens[i] = '1' end
if #tokens > 0 then redis.call('RPUSH', KEYS[3], unpack(tokens)) end
return answers
