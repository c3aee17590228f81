-- Everything Tyst keeps in ClickHouse. Applied at every start: each statement may be run again.
-- Statements end with a semicolon at the end of a line.

-- One row per event. No address, no user agent, no query string.
-- Rows of one visit lie side by side, so what they share compresses to almost nothing.
-- fsync: an acknowledged insert survives a power cut, and so does what merges make of it. The deduplication window
-- lets a batch be sent again after a crash between insert and answer, and still be stored once.
-- Expired rows are deleted by the upkeep, once their day is closed; the TTL deletes what it would leave, two days
-- later. What was deleted or erased is off the disk two to three minutes after it left the table.
CREATE TABLE IF NOT EXISTS events
(
    site            LowCardinality(String),
    day             Date CODEC(Delta, ZSTD(1)),
    ts              DateTime('UTC') CODEC(Delta, ZSTD(1)),
    visitor         UInt64 CODEC(Delta, ZSTD(1)),
    visit           UInt32 CODEC(Delta, ZSTD(1)),
    name            LowCardinality(String),
    consent         LowCardinality(String),
    hostname        LowCardinality(String),
    page            String CODEC(ZSTD(1)),
    entry_page      String CODEC(ZSTD(1)),
    referrer        String CODEC(ZSTD(1)),
    source          LowCardinality(String),
    channel         LowCardinality(String),
    utm_source      LowCardinality(String),
    utm_medium      LowCardinality(String),
    utm_campaign    LowCardinality(String),
    utm_content     LowCardinality(String),
    utm_term        LowCardinality(String),
    click_id        LowCardinality(String),
    country         LowCardinality(String),
    browser         LowCardinality(String),
    browser_version LowCardinality(String),
    os              LowCardinality(String),
    os_version      LowCardinality(String),
    device          LowCardinality(String),
    size            LowCardinality(String),
    visits          Int8,
    bounces         Int8,
    seconds         UInt32 CODEC(ZSTD(1)),
    engaged         UInt32 CODEC(ZSTD(1)),
    scroll          UInt8 CODEC(ZSTD(1)),
    props           Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    revenue         Decimal(18, 3) CODEC(ZSTD(1)),
    currency        LowCardinality(String),
    expires         Date CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, day, visitor, ts)
TTL expires + INTERVAL 2 DAY
SETTINGS non_replicated_deduplication_window = 10000,
         ttl_only_drop_parts = 0,
         fsync_after_insert = 1,
         fsync_part_directory = 1,
         index_granularity = 8192,
         merge_with_ttl_timeout = 3600,
         min_rows_to_fsync_after_merge = 1,
         old_parts_lifetime = 60,
         cleanup_delay_period = 30,
         max_cleanup_delay_period = 60;

-- What is being erased, for as long as that takes: in memory, so that neither a disk nor the list of mutations has it.
CREATE TABLE IF NOT EXISTS erasing
(
    batch   UInt64,
    site    String,
    day     Date,
    visitor UInt64,
    ts      DateTime('UTC')
)
ENGINE = Memory;

-- Control records: one row per record and version, the newest wins; `record` is JSON of the type that reads it.
CREATE TABLE IF NOT EXISTS sites
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS users
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS api_keys
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS notices
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Sums of the days that are over: one row per value of each dimension, the empty dimension being the whole site.
-- Built from `events` in one statement. A version is one whole build; `closed` says which version of a day counts.
CREATE TABLE IF NOT EXISTS daily
(
    site      LowCardinality(String),
    dimension LowCardinality(String),
    day       Date CODEC(Delta, ZSTD(1)),
    value     String CODEC(ZSTD(3)),
    visitors  UInt32 CODEC(T64, ZSTD(1)),
    seen      UInt32 CODEC(T64, ZSTD(1)),
    pageviews UInt32 CODEC(T64, ZSTD(1)),
    events    UInt32 CODEC(T64, ZSTD(1)),
    entries   UInt32 CODEC(T64, ZSTD(1)),
    bounces   Int32 CODEC(T64, ZSTD(1)),
    seconds   UInt64 CODEC(T64, ZSTD(1)),
    views     UInt32 CODEC(T64, ZSTD(1)),
    readings  UInt32 CODEC(T64, ZSTD(1)),
    engaged   UInt64 CODEC(T64, ZSTD(1)),
    scrolled  UInt32 CODEC(T64, ZSTD(1)),
    version   UInt64 CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension, day, value)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Which days are closed, the newest version of each. `rows` is how many events the build saw: when there are more
-- now, some came late. `open` 1 takes a day back until it is built again.
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

-- How many events were not kept, by reason and, of bots, by kind. Numbers and nothing else.
CREATE TABLE IF NOT EXISTS drops
(
    site   LowCardinality(String),
    day    Date,
    reason LowCardinality(String),
    kind   LowCardinality(String),
    count  UInt64
)
ENGINE = SummingMergeTree(count)
ORDER BY (site, day, reason, kind)
TTL day + INTERVAL 13 MONTH
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
