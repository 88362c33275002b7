-- table
CREATE TABLE IF NOT EXISTS chronoq_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    key text NOT NULL,
    record bytea NOT NULL,
    refused text
)

-- index: refused rows cost the relay nothing
CREATE INDEX IF NOT EXISTS chronoq_outbox_waiting ON chronoq_outbox (id, queue) WHERE refused IS NULL

-- put
INSERT INTO chronoq_outbox (queue, key, record) VALUES (%s, %s, %s)

-- waiting: a row that another relay holds is passed by
SELECT id, queue, key, record FROM chronoq_outbox
WHERE refused IS NULL AND queue <> ALL (%s)
ORDER BY id LIMIT %s
FOR UPDATE SKIP LOCKED

-- remove
DELETE FROM chronoq_outbox WHERE id = ANY (%s)

-- refuse
UPDATE chronoq_outbox SET refused = %s WHERE id = %s
