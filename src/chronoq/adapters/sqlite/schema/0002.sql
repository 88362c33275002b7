-- An ended job is the row that it was, in a place of its own: `at` is until when it is remembered, and `record`
-- is its ending. So an id is looked for in one table, and a job that ends moves no more than it has to.
CREATE TABLE moved (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  place TEXT NOT NULL CHECK (place IN ('delayed', 'ready', 'running', 'dead', 'ended')),
  priority INTEGER NOT NULL,
  at INTEGER NOT NULL,
  token INTEGER NOT NULL DEFAULT 0,
  excused INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0,
  stopping INTEGER NOT NULL DEFAULT 0,
  worker TEXT NOT NULL DEFAULT '',
  schedule TEXT,
  note BLOB,
  progress BLOB,
  record BLOB NOT NULL
) STRICT;
INSERT INTO moved SELECT * FROM jobs;
INSERT INTO moved (queue, key, place, priority, at, record)
SELECT queue, key, 'ended', 0, until, ending FROM endings
WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.queue = endings.queue AND jobs.key = endings.key);
DROP TABLE endings;
DROP TABLE jobs;
ALTER TABLE moved RENAME TO jobs;
CREATE UNIQUE INDEX jobs_by_key ON jobs (queue, key);
CREATE INDEX jobs_delayed ON jobs (queue, at, priority, key) WHERE place = 'delayed';
CREATE INDEX jobs_ready ON jobs (queue, priority, at) WHERE place = 'ready';
CREATE INDEX jobs_running ON jobs (queue, at, key) WHERE place = 'running';
CREATE INDEX jobs_dead ON jobs (queue, at, key) WHERE place = 'dead';
CREATE INDEX jobs_ended ON jobs (at) WHERE place = 'ended';
CREATE INDEX jobs_runs ON jobs (queue, schedule, key) WHERE schedule IS NOT NULL AND place <> 'dead';
