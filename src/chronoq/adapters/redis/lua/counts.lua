-- A queue in figures, all of one instant. Reads only.
-- KEYS: delayed, leases, dead, paused, stats, skips, ready:0 .. ready:3
-- ARGV: names of counters
-- Returns: delayed, ready, running, dead, pause, then the counters
local ready = -redis.call('SCARD', KEYS[6])
for lane = 7, 10 do ready = ready + redis.call('LLEN', KEYS[lane]) end
return {
  redis.call('ZCARD', KEYS[1]),
  ready,
  redis.call('ZCARD', KEYS[2]),
  redis.call('ZCARD', KEYS[3]),
  redis.call('GET', KEYS[4]),
  unpack(redis.call('HMGET', KEYS[5], unpack(ARGV))),
}
