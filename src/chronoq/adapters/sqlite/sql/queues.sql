-- get
SELECT id, name, known, delayed, ready, running, dead, accepted, done, cancelled, expired, purged, retried, crashed,
       front, back, fence, work, time, news, pause
FROM queues WHERE namespace = ? AND name = ?

-- add
INSERT INTO queues (namespace, name) VALUES (?, ?)

-- set
UPDATE queues SET known = ?, delayed = ?, ready = ?, running = ?, dead = ?, accepted = ?, done = ?, cancelled = ?,
       expired = ?, purged = ?, retried = ?, crashed = ?, front = ?, back = ?, fence = ?, work = ?, time = ?, news = ?,
       pause = ?
WHERE id = ?

-- arrive: one job more that is ready
UPDATE queues SET known = 1, accepted = accepted + 1, ready = ready + 1, back = back + 1, work = work + 1
WHERE namespace = ? AND name = ?

-- names
SELECT name FROM queues WHERE namespace = ? AND known = 1 ORDER BY name

-- work
SELECT name, work FROM queues WHERE namespace = ?1 AND name IN (SELECT value FROM json_each(?2))

-- time
SELECT name, time FROM queues WHERE namespace = ?1 AND name IN (SELECT value FROM json_each(?2))

-- news
SELECT name, news FROM queues WHERE namespace = ?1 AND name IN (SELECT value FROM json_each(?2))
