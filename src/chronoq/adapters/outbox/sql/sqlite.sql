-- table: an id is never used again, for a relay that was late would take the new row for the old one
CREATE TABLE IF NOT EXISTS chronoq_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    key TEXT NOT NULL,
    record BLOB NOT NULL,
    refused TEXT
)

-- index: refused rows cost the relay nothing
CREATE INDEX IF NOT EXISTS chronoq_outbox_waiting ON chronoq_outbox (id, queue) WHERE refused IS NULL

-- put
INSERT INTO chronoq_outbox (queue, key, record) VALUES (?, ?, ?)

-- waiting
SELECT id, queue, key, record FROM chronoq_outbox
WHERE refused IS NULL AND queue NOT IN (SELECT value FROM json_each(?))
ORDER BY id LIMIT ?

-- remove
DELETE FROM chronoq_outbox WHERE id IN (SELECT value FROM json_each(?))

-- refuse
UPDATE chronoq_outbox SET refused = ? WHERE id = ?
