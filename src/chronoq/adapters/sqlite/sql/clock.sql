-- get
SELECT boot, epoch FROM clock WHERE id = 1

-- set
INSERT INTO clock (id, boot, epoch) VALUES (1, ?, ?)
ON CONFLICT (id) DO UPDATE SET boot = excluded.boot, epoch = excluded.epoch

-- alive: until when the last process said that it would be
SELECT max(until) FROM processes
