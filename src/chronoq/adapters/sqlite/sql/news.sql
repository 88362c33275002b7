-- add
INSERT INTO news (queue, seq, key) VALUES (?, ?, ?)

-- after
SELECT key FROM news WHERE queue = (SELECT id FROM queues WHERE namespace = ? AND name = ?) AND seq > ? AND seq <= ?
ORDER BY seq

-- latest: of those that are remembered as ended, the last first
SELECT news.seq, news.key FROM news JOIN endings ON endings.queue = news.queue AND endings.key = news.key
WHERE news.queue = ? ORDER BY news.seq DESC LIMIT ?

-- forget
DELETE FROM news WHERE queue = ? AND seq <= ?
