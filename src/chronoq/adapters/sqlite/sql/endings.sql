-- set
INSERT INTO endings (queue, key, until, ending) VALUES (?, ?, ?, ?)
ON CONFLICT (queue, key) DO UPDATE SET until = excluded.until, ending = excluded.ending

-- get: those that are remembered
SELECT key, ending FROM endings WHERE queue = ?1 AND key IN (SELECT value FROM json_each(?2)) AND until > ?3

-- lapsed: the first that nobody can ask for any more
SELECT queue, key FROM endings WHERE until < ? ORDER BY until LIMIT ?

-- forget
DELETE FROM endings WHERE queue = ? AND key = ?
