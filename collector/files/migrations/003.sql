-- sums of days by property and currency, in fewer bytes

-- The first release may not have come so far as to have these.
CREATE TABLE IF NOT EXISTS daily
(
    site LowCardinality(String), dimension LowCardinality(String), day Date, value String, visitors UInt32, seen UInt32,
    pageviews UInt32, events UInt32, entries UInt32, bounces Int32, seconds UInt64, views UInt32, readings UInt32,
    engaged UInt64, scrolled UInt32, version UInt64
)
ENGINE = MergeTree ORDER BY (site, dimension, day, value);
CREATE TABLE IF NOT EXISTS closed
(
    site    String,
    day     Date,
    version UInt64,
    rows    UInt64,
    open    UInt8
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (site, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The new table is filled from whichever is there: run again after the exchange, it copies what it made.
DROP TABLE IF EXISTS daily_made SYNC;
CREATE TABLE daily_made
(
    site      LowCardinality(String),
    dimension LowCardinality(String),
    day       Date CODEC(Delta, ZSTD(1)),
    value     String CODEC(ZSTD(3)),
    currency  LowCardinality(String),
    visitors  UInt32 CODEC(T64, ZSTD(1)),
    again     Int32 CODEC(T64, ZSTD(1)),
    more      Int32 CODEC(T64, ZSTD(1)),
    custom    UInt32 CODEC(T64, ZSTD(1)),
    unseen    UInt32 CODEC(T64, ZSTD(1)),
    bounces   Int32 CODEC(T64, ZSTD(1)),
    seconds   UInt64 CODEC(T64, ZSTD(1)),
    readings  UInt32 CODEC(T64, ZSTD(1)),
    engaged   UInt64 CODEC(T64, ZSTD(1)),
    scrolled  UInt32 CODEC(T64, ZSTD(1)),
    revenue   Int64 CODEC(T64, ZSTD(1)),
    sales     UInt32 CODEC(T64, ZSTD(1)),
    version   UInt64 CODEC(Delta, ZSTD(1)),
    seen      Int64 ALIAS visitors + again,
    entries   Int64 ALIAS visitors + again,
    pageviews Int64 ALIAS visitors + again + more,
    views     Int64 ALIAS visitors + again + more - unseen,
    events    Int64 ALIAS visitors + again + more + custom
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension, day, value)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 1000000;
INSERT INTO daily_made (site, dimension, day, value, visitors, again, more, custom, unseen, bounces, seconds,
    readings, engaged, scrolled, version)
SELECT site, dimension, day, value, visitors, if(startsWith(dimension, 'event:'), seen, entries) - visitors AS again,
    pageviews - visitors - again, events - pageviews, if(startsWith(dimension, 'event:'), 0, pageviews - views),
    bounces, seconds, readings, engaged, scrolled, version
FROM daily
SETTINGS max_partitions_per_insert_block = 0;
EXCHANGE TABLES daily AND daily_made;
DROP TABLE daily_made SYNC;
ALTER TABLE closed ADD COLUMN IF NOT EXISTS form UInt8;
