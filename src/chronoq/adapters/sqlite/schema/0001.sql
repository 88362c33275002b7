-- Which version has written the file, and which can work with it.
CREATE TABLE mark (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  schema BLOB NOT NULL
) STRICT;

-- A queue in figures, each written in the same step as what it counts, and the hints that somebody waits for:
-- work, time and news count what has been made ready, made due earlier, and ended.
CREATE TABLE queues (
  id INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  known INTEGER NOT NULL DEFAULT 0,
  delayed INTEGER NOT NULL DEFAULT 0,
  ready INTEGER NOT NULL DEFAULT 0,
  running INTEGER NOT NULL DEFAULT 0,
  dead INTEGER NOT NULL DEFAULT 0,
  accepted INTEGER NOT NULL DEFAULT 0,
  done INTEGER NOT NULL DEFAULT 0,
  cancelled INTEGER NOT NULL DEFAULT 0,
  expired INTEGER NOT NULL DEFAULT 0,
  purged INTEGER NOT NULL DEFAULT 0,
  retried INTEGER NOT NULL DEFAULT 0,
  crashed INTEGER NOT NULL DEFAULT 0,
  front INTEGER NOT NULL DEFAULT 0,
  back INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  work INTEGER NOT NULL DEFAULT 0,
  time INTEGER NOT NULL DEFAULT 0,
  news INTEGER NOT NULL DEFAULT 0,
  pause BLOB,
  UNIQUE (namespace, name)
) STRICT;

-- A live job. Its place says what `at` is: when it is due, its turn, its lease's end, or when it died.
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  place TEXT NOT NULL CHECK (place IN ('delayed', 'ready', 'running', 'dead')),
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
CREATE UNIQUE INDEX jobs_by_key ON jobs (queue, key);
CREATE INDEX jobs_delayed ON jobs (queue, at, priority, key) WHERE place = 'delayed';
CREATE INDEX jobs_ready ON jobs (queue, priority, at) WHERE place = 'ready';
CREATE INDEX jobs_running ON jobs (queue, at, key) WHERE place = 'running';
CREATE INDEX jobs_dead ON jobs (queue, at, key) WHERE place = 'dead';
CREATE INDEX jobs_runs ON jobs (queue, schedule, key) WHERE schedule IS NOT NULL AND place <> 'dead';

-- What is remembered of ended jobs, until `until`.
CREATE TABLE endings (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  until INTEGER NOT NULL,
  ending BLOB NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX endings_by_end ON endings (until);

-- The latest jobs that run no more, in order: `seq` is the queue's count of news.
CREATE TABLE news (
  queue INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (queue, seq)
) STRICT, WITHOUT ROWID;

-- `wake`: when to look at it, if that is known; `held`: not before its last run has ended.
CREATE TABLE schedules (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  record BLOB NOT NULL,
  cursor BLOB NOT NULL,
  wake INTEGER,
  held INTEGER NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT;
CREATE INDEX schedules_by_wake ON schedules (queue, wake, key) WHERE wake IS NOT NULL;

-- How often the runs of a schedule have failed in a row.
CREATE TABLE failures (
  queue INTEGER NOT NULL,
  schedule TEXT NOT NULL,
  many INTEGER NOT NULL,
  PRIMARY KEY (queue, schedule)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
  queue INTEGER NOT NULL,
  schedule TEXT NOT NULL,
  seq INTEGER NOT NULL,
  outcome BLOB NOT NULL,
  PRIMARY KEY (queue, schedule, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE locks (
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  owner TEXT NOT NULL,
  token INTEGER NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE processes (
  namespace TEXT NOT NULL,
  id TEXT NOT NULL,
  process BLOB NOT NULL,
  vitals BLOB NOT NULL,
  seen INTEGER NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

-- What all processes on this machine add to the time since it was started, in microseconds.
CREATE TABLE clock (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  boot TEXT NOT NULL,
  epoch INTEGER NOT NULL
) STRICT;
