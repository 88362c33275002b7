-- Ready jobs that came alone, in order, until the next step that looks takes them in: to store one touches one page.
CREATE TABLE inbox (
  id INTEGER PRIMARY KEY,
  queue INTEGER NOT NULL,
  key TEXT NOT NULL,
  priority INTEGER NOT NULL,
  schedule TEXT,
  record BLOB NOT NULL
) STRICT;
