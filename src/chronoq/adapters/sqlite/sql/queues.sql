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

-- names
SELECT name FROM queues WHERE namespace = ? AND known = 1 ORDER BY name

-- work: with what lies in the inbox and will be counted as soon as it is taken in
SELECT name, work + (SELECT count(*) FROM inbox WHERE inbox.queue = queues.id)
FROM queues WHERE namespace = ?1 AND name IN (SELECT value FROM json_each(?2))

-- time
SELECT name, time FROM queues WHERE namespace = ?1 AND name IN (SELECT value FROM json_each(?2))

-- news
SELECT name, news FROM queues WHERE namespace = ?1 AND name IN (SELECT value FROM json_each(?2))
