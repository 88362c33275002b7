-- get
SELECT key, record, cursor FROM schedules WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2))

-- cursor
SELECT cursor FROM schedules WHERE queue = ? AND key = ?

-- set
INSERT INTO schedules (queue, key, record, cursor, wake, held) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, key) DO UPDATE
SET record = excluded.record, cursor = excluded.cursor, wake = excluded.wake, held = excluded.held

-- move
UPDATE schedules SET cursor = ?, wake = ?, held = ? WHERE queue = ? AND key = ?

-- free: the last of its runs has ended, so look at it now
UPDATE schedules SET wake = ?1, held = 0 WHERE queue = ?2 AND key = ?3 AND held = 1
AND NOT EXISTS (SELECT 1 FROM jobs WHERE queue = ?2 AND schedule = ?3 AND place <> 'dead')

-- remove
DELETE FROM schedules WHERE queue = ? AND key = ?

-- keys
SELECT key FROM schedules WHERE queue = ? ORDER BY key

-- due
SELECT key, record, cursor FROM schedules WHERE queue = ? AND wake <= ? ORDER BY wake, key LIMIT ?

-- next: when to look at the one after so many
SELECT wake FROM schedules WHERE queue = ? AND wake IS NOT NULL ORDER BY wake, key LIMIT 1 OFFSET ?

-- failures
SELECT many FROM failures WHERE queue = ? AND schedule = ?

-- failed
INSERT INTO failures (queue, schedule, many) VALUES (?, ?, 1) ON CONFLICT (queue, schedule) DO UPDATE SET many = many + 1

-- forgive
DELETE FROM failures WHERE queue = ? AND schedule = ?

-- last: how far its ledger has come
SELECT seq FROM ledger WHERE queue = ? AND schedule = ? ORDER BY seq DESC LIMIT 1

-- write: a line in its ledger
INSERT INTO ledger (queue, schedule, seq, outcome) VALUES (?, ?, ?, ?)

-- trim: its ledger, of what is older
DELETE FROM ledger WHERE queue = ? AND schedule = ? AND seq <= ?

-- ledger
SELECT outcome FROM ledger WHERE queue = ? AND schedule = ? ORDER BY seq DESC LIMIT ?

-- burn: its ledger
DELETE FROM ledger WHERE queue = ? AND schedule = ?
