-- add: one that is ready, for a queue that is known, unless its key is in use or there is no room: then nothing
/* What has no queue is ignored. A SELECT in the place of VALUES would be copied first: it reads the same table. */
INSERT OR IGNORE INTO inbox (key, priority, schedule, record, queue) VALUES (?1, ?2, ?3, ?4, (
  SELECT id FROM queues WHERE namespace = ?5 AND name = ?6
  AND NOT EXISTS (SELECT 1 FROM inbox WHERE id >= 64)
  AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.key = ?1 AND inbox.queue = queues.id)
  AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.queue = queues.id AND jobs.key = ?1)
))

-- any
SELECT 1 FROM inbox LIMIT 1

-- store: in the order in which they came, behind all that is ready
INSERT INTO jobs (queue, key, place, priority, at, schedule, record)
SELECT inbox.queue, key, 'ready', priority, back + inbox.id, schedule, record
FROM inbox JOIN queues ON queues.id = inbox.queue WHERE true ORDER BY inbox.id
ON CONFLICT (queue, key) DO NOTHING

-- count
UPDATE queues SET known = 1, accepted = accepted + new.many, ready = ready + new.many, back = back + new.last,
       work = work + new.many
FROM (SELECT queue, count(*) AS many, max(id) AS last FROM inbox GROUP BY queue) AS new WHERE queues.id = new.queue

-- clear
DELETE FROM inbox
