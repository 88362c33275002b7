-- birth
INSERT INTO processes (namespace, id, process, vitals, seen, until) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (namespace, id) DO UPDATE
SET process = excluded.process, vitals = excluded.vitals, seen = excluded.seen, until = excluded.until

-- beat
UPDATE processes SET vitals = ?, seen = ?, until = ? WHERE namespace = ? AND id = ? AND until > ?

-- death
DELETE FROM processes WHERE namespace = ? AND id = ?

-- forget: those that have been silent for long
DELETE FROM processes WHERE namespace = ? AND until <= ?

-- roll
SELECT process, vitals, seen FROM processes WHERE namespace = ? AND until > ?
