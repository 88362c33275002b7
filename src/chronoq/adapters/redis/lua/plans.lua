-- Look through the schedules of a queue for those that nobody would look at, and drop dues of none.
-- KEYS: schedules, cursors, dues, stats
-- ARGV: which (1 schedules, 3 dues; 4: neither is left), where to go on in it, how many at most
-- Returns: which, where to go on in it, the schedules that were met; those without a due time and their cursors in turn;
--       those without a cursor and their records in turn; dues that were dropped
local which, from, left = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local met, unwatched, unknown, dropped = {}, {}, {}, {}
while which <= 3 and left > 0 do
  local page = redis.call(which == 1 and 'HSCAN' or 'ZSCAN', KEYS[which], from, 'COUNT', left)
  left = left - 1 - #page[2] / 2
  for i = 1, #page[2], 2 do
    local id = page[2][i]
    local cursor = redis.call('HGET', KEYS[2], id)
    if which == 3 then
      if not cursor and redis.call('HEXISTS', KEYS[1], id) == 0 then
        redis.call('ZREM', KEYS[3], id)
        dropped[#dropped + 1] = id
      end
    else
      met[#met + 1] = id
      if not cursor then
        redis.call('ZREM', KEYS[3], id) -- nothing can be compared with, so it would be due for ever
        unknown[#unknown + 1] = id
        unknown[#unknown + 1] = page[2][i + 1]
      elseif not redis.call('ZSCORE', KEYS[3], id) then
        unwatched[#unwatched + 1] = id
        unwatched[#unwatched + 1] = cursor
      end
    end
  end
  from = page[1]
  if from == '0' then which = which == 1 and 3 or 4 end
end
if #dropped > 0 then redis.call('HINCRBY', KEYS[4], 'mended', #dropped) end
return {which, from, met, unwatched, unknown, dropped}
