-- pages and referrers are read as numbers

-- Rewritten in the background: until it is, they are converted as they are read.
ALTER TABLE events MODIFY COLUMN page LowCardinality(String) CODEC(LZ4),
    MODIFY COLUMN entry_page LowCardinality(String) CODEC(LZ4), MODIFY COLUMN referrer LowCardinality(String) CODEC(LZ4)
    SETTINGS alter_sync = 0;
