-- get
SELECT owner, token, until FROM locks WHERE namespace = ? AND name = ?

-- take
INSERT INTO locks (namespace, name, owner, token, until) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (namespace, name) DO UPDATE SET owner = excluded.owner, token = excluded.token, until = excluded.until

-- renew
UPDATE locks SET until = ? WHERE namespace = ? AND name = ? AND owner = ? AND token = ? AND until > ?

-- release
UPDATE locks SET owner = '', until = 0 WHERE namespace = ? AND name = ? AND owner = ? AND token = ?
