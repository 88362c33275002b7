-- add: after that many
INSERT INTO news (queue, seq, key) SELECT ?1, ?2 + 1 + one.key, one.value FROM json_each(?3) AS one

-- after
SELECT key FROM news WHERE queue = (SELECT id FROM queues WHERE namespace = ? AND name = ?) AND seq > ? AND seq <= ?
ORDER BY seq

-- latest: of those that are remembered as ended, the last first
SELECT news.seq, news.key FROM news JOIN jobs ON jobs.queue = news.queue AND jobs.key = news.key
WHERE news.queue = ? AND jobs.place = 'ended' ORDER BY news.seq DESC LIMIT ?

-- forget
DELETE FROM news WHERE queue = ? AND seq <= ?
