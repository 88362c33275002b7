-- Make leases end later, each if it is held by its worker under its token.
-- KEYS: leases, claims, stops
-- ARGV: the new end, then for each lease: key, token:worker
-- Returns for each: 0 lost, 1 kept, 2 kept, but the job was asked to stop
local keys = {}
for i = 2, #ARGV, 2 do keys[#keys + 1] = ARGV[i] end
local leased = redis.call('ZMSCORE', KEYS[1], unpack(keys))
local claims = redis.call('HMGET', KEYS[2], unpack(keys))
local stopped = redis.call('SMISMEMBER', KEYS[3], unpack(keys))

local answers, ends = {}, {}
for i, key in ipairs(keys) do
  local token, worker = string.match(claims[i] or '', '^(%d+):%d+:%d+:(.*)$')
  if leased[i] and token and token .. ':' .. worker == ARGV[2 * i + 1] then
    answers[i] = 1 + stopped[i]
    ends[#ends + 1] = ARGV[1]
    ends[#ends + 1] = key
  else
    answers[i] = 0
  end
end
if #ends > 0 then
  redis.call('PERSIST', KEYS[1]) -- changes nothing, but only a script's first write is refused for lack of memory
  redis.call('ZADD', KEYS[1], 'XX', unpack(ends))
end
return answers
