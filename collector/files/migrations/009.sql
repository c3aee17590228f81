-- changes go by the site's own id

-- The first release may not have come so far as to have it.
CREATE TABLE IF NOT EXISTS changes
(
    at     DateTime('UTC'),
    site   String,
    who    String,
    what   String,
    before String,
    after  String,
    id     UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (site, at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE changes ADD COLUMN IF NOT EXISTS site_id String;
