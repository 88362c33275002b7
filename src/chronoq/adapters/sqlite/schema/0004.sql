-- The inbox by key, so that whether one lies there needs no look at the others. `turn`: how many lay there before it.
CREATE TABLE filed (
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  turn INTEGER NOT NULL CHECK (turn < 256),
  priority INTEGER NOT NULL,
  schedule TEXT,
  record BLOB NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
INSERT INTO filed SELECT queue, key, id - 1, priority, schedule, record FROM inbox;
DROP TABLE inbox;
ALTER TABLE filed RENAME TO inbox;
