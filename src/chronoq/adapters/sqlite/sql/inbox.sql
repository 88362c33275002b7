-- add: one that is ready, unless its key is in use or there is no room: then nothing
/* What has no queue is ignored. A SELECT in the place of VALUES would be copied first: it reads the same table. */
INSERT OR IGNORE INTO inbox (queue, key, turn, priority, schedule, record)
VALUES ((SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE queue = ?1 AND key = ?2)), ?2,
        (SELECT count(*) FROM inbox), ?3, ?4, ?5)

-- any
SELECT 1 FROM inbox LIMIT 1

-- store: in the order in which they came, behind all that is ready
INSERT INTO jobs (queue, key, place, priority, at, schedule, record)
SELECT inbox.queue, key, 'ready', priority, back + 1 + turn, schedule, record
FROM inbox JOIN queues ON queues.id = inbox.queue WHERE true
ON CONFLICT (queue, key) DO NOTHING

-- count
UPDATE queues SET known = 1, accepted = accepted + new.many, ready = ready + new.many, back = back + new.last,
       work = work + new.many
FROM (SELECT queue, count(*) AS many, max(turn) + 1 AS last FROM inbox GROUP BY queue) AS new
WHERE queues.id = new.queue

-- clear
DELETE FROM inbox
