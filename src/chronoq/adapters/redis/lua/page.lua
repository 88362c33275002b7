-- Some entries of a sorted set, after a mark. Reads only.
-- KEYS: the sorted set
-- ARGV: the mark's member ('': from the start) and score, how many at most, whether backward (0 | 1)
-- Returns: members and scores in turn
local member, score, backward = ARGV[1], ARGV[2], ARGV[4] == '1'
local start = 0
if member ~= '' and redis.call('ZSCORE', KEYS[1], member) == score then
  start = redis.call(backward and 'ZREVRANK' or 'ZRANK', KEYS[1], member) + 1
elseif member ~= '' and backward then -- it has moved on: continue where it stood
  start = redis.call('ZCOUNT', KEYS[1], '(' .. score, '+inf')
elseif member ~= '' then
  start = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
end
return redis.call(backward and 'ZREVRANGE' or 'ZRANGE', KEYS[1], start, start + ARGV[3] - 1, 'WITHSCORES')
