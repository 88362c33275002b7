-- Forget how jobs ended. A mark that a cancelled one has left in its list stays for the claim that meets it.
-- KEYS: the ending of each job
-- ARGV: now
-- Returns for each: 1, or 0 when nothing is remembered of it
local now, answers = tonumber(ARGV[1]), {}
for i, place in ipairs(KEYS) do
  local ending = redis.call('GET', place)
  answers[i] = 0
  if ending then
    redis.call('DEL', place)
    if tonumber(string.match(ending, '^%d+') or 0) > now then answers[i] = 1 end
  end
end
return answers
