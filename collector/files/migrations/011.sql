-- tables and columns are named by the field's terms
RENAME TABLE IF EXISTS daily TO daily_rollup;
RENAME TABLE IF EXISTS closed TO daily_status;
RENAME TABLE IF EXISTS drops TO dropped_events;
RENAME TABLE IF EXISTS changes TO audit_log;
RENAME TABLE IF EXISTS deletions TO site_jobs;
RENAME TABLE IF EXISTS erasing TO pending_erasures;
RENAME TABLE IF EXISTS purging TO pending_delete_values;

-- A column of a sorting key cannot be renamed: its few rows are copied, from whichever table is there.
CREATE TABLE IF NOT EXISTS revoked
(
    mark String,
    day  Date
)
ENGINE = ReplacingMergeTree ORDER BY mark;
CREATE TABLE IF NOT EXISTS revoked_receipts
(
    id_hash String,
    day     Date
)
ENGINE = ReplacingMergeTree
ORDER BY id_hash
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
INSERT INTO revoked_receipts (id_hash, day) SELECT mark, day FROM revoked;
DROP TABLE revoked SYNC;

-- The columns are renamed by the program: those that have their old names.
