-- get
SELECT schema FROM mark WHERE id = 1

-- set
INSERT INTO mark (id, schema) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET schema = excluded.schema
