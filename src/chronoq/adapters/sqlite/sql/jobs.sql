-- add
INSERT INTO jobs (queue, key, place, priority, at, schedule, record) VALUES (?, ?, ?, ?, ?, ?, ?)

-- adopt: one with a history
INSERT INTO jobs (queue, key, place, priority, at, schedule, record, token, excused, crashes, worker, note)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- taken: keys that are in use, with what tells whether it is for the same work
SELECT id, key, place, record FROM jobs WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2))

-- taken_one: the same for a single one, which is asked for with each job that comes alone
SELECT id, key, place, record FROM jobs WHERE queue = ? AND key = ?

-- held: where live jobs stand, for those who want to move them
SELECT key, id, place, at, token, excused, crashes, stopping, worker, schedule
FROM jobs WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND place <> 'ended'

-- whole: all that is known of live ones
SELECT key, place, at, token, excused, crashes, stopping, worker, note, progress, record
FROM jobs WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND place <> 'ended'

-- ended: the endings that are remembered
SELECT key, record FROM jobs
WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND place = 'ended' AND at > ?3

-- died: when dead letters came to lie there, and why
SELECT key, at, note FROM jobs WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND place = 'dead'

-- records: of live jobs
SELECT key, record FROM jobs WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND place <> 'ended'

-- due: in order of due time
SELECT id FROM jobs WHERE queue = ? AND place = 'delayed' AND at <= ? ORDER BY at, priority, key LIMIT ?

-- next: when the next delayed one is due
SELECT at FROM jobs WHERE queue = ? AND place = 'delayed' ORDER BY at LIMIT 1

-- first: the next to run
SELECT id, key, record, token, excused, crashes
FROM jobs WHERE queue = ? AND place = 'ready' ORDER BY priority, at LIMIT ?

-- lease
UPDATE jobs SET place = 'running', at = ?1, worker = ?2, token = token + 1
WHERE id IN (SELECT value FROM json_each(?3))

-- ready: in the order of the list, from that turn on
UPDATE jobs SET place = 'ready', at = ?1 + one.key FROM json_each(?2) AS one WHERE jobs.id = one.value

-- extend
UPDATE jobs SET at = ?1 WHERE id IN (SELECT value FROM json_each(?2))

-- lapsed: leases that have run out
SELECT key, at, token, excused, crashes, worker, record
FROM jobs WHERE queue = ? AND place = 'running' AND at <= ? ORDER BY at, key LIMIT ?

-- again: it waits for another attempt
UPDATE jobs SET place = ?, at = ?, excused = ?, crashes = ?, note = ?, stopping = 0, progress = NULL WHERE id = ?

-- back: it was given back, unstarted
UPDATE jobs SET place = 'ready', at = ?, excused = excused + 1, stopping = 0, progress = NULL WHERE id = ?

-- bury
UPDATE jobs SET place = 'dead', at = ?, excused = ?, crashes = ?, note = ?, stopping = 0, progress = NULL WHERE id = ?

-- revive
UPDATE jobs SET place = 'ready', at = ?, excused = token, crashes = 0 WHERE id = ?

-- end: remembered until then, with nothing but its ending
UPDATE jobs SET place = 'ended', at = one.column2, record = one.column3,
       stopping = 0, worker = '', schedule = NULL, note = NULL, progress = NULL
FROM (VALUES (?, ?, ?)) AS one WHERE jobs.id = one.column1

-- forget: endings that somebody wants to be forgotten
DELETE FROM jobs WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND place = 'ended'

-- lapse: the first endings that nobody can ask for any more
DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE place = 'ended' AND at < ? ORDER BY at LIMIT ?)

-- remove
DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))

-- stop
UPDATE jobs SET stopping = 1 WHERE id = ?

-- stop_runs
UPDATE jobs SET stopping = 1 WHERE queue = ? AND schedule = ? AND place <> 'dead' AND place = 'running'

-- report
UPDATE jobs SET progress = ? WHERE queue = ? AND key = ? AND place = 'running' AND token = ? AND worker = ?

-- runs: live jobs of a schedule
SELECT key FROM jobs WHERE queue = ? AND schedule = ? AND place <> 'dead' ORDER BY key

-- count_runs
SELECT count(*) FROM jobs WHERE queue = ? AND schedule = ? AND place <> 'dead'

-- page_delayed
SELECT key, at, priority, key FROM jobs WHERE queue = ? AND place = 'delayed' AND (at, priority, key) > (?, ?, ?)
ORDER BY at, priority, key LIMIT ?

-- page_ready
SELECT key, priority, at FROM jobs WHERE queue = ? AND place = 'ready' AND (priority, at) > (?, ?)
ORDER BY priority, at LIMIT ?

-- page_running
SELECT key, at, key FROM jobs WHERE queue = ? AND place = 'running' AND (at, key) > (?, ?) ORDER BY at, key LIMIT ?

-- page_dead
SELECT key, at, key FROM jobs WHERE queue = ? AND place = 'dead' AND (at, key) < (?, ?) ORDER BY at DESC, key DESC LIMIT ?
