-- Everything Tyst keeps in ClickHouse. Applied at every start: each statement may be run again.
-- Statements end with a semicolon at the end of a line. The word after a table's name says where its rows are in a cluster
-- (collector/storage/schema.py).

-- One row per event. No address, no user agent, no query string.
-- Rows of one visit lie side by side, so what they share compresses to almost nothing.
-- fsync: an acknowledged insert survives a power cut, and so does what merges make of it. The deduplication window
-- lets a batch be sent again after a crash between insert and answer, and still be stored once: of thirty collectors
-- that insert every second it remembers the last 55 minutes.
-- Expired rows are deleted by the upkeep, once their day is closed. No table of figures has a TTL: a merge would follow
-- the server's clock wherever it leaps. What was deleted or erased is off the disk within ten minutes after it left the
-- table: what merges and deletions replace is kept for seven, because a full disk can break a merge.
CREATE TABLE IF NOT EXISTS events -- sharded by if(visitor = 0, cityHash64(ts, page), visitor)
(
    site            LowCardinality(String),
    day             Date CODEC(Delta, ZSTD(1)),
    ts              DateTime('UTC') CODEC(Delta, ZSTD(1)),
    visitor         UInt64 CODEC(Delta, ZSTD(1)),
    visit           UInt32 CODEC(Delta, ZSTD(1)),
    name            LowCardinality(String),
    consent         LowCardinality(String),
    hostname        LowCardinality(String),
    page            LowCardinality(String) CODEC(LZ4),
    entry_page      LowCardinality(String) CODEC(LZ4),
    referrer        LowCardinality(String) CODEC(LZ4),
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
    expires         Date CODEC(Delta, ZSTD(1)),
    seq             UInt32 CODEC(Delta, ZSTD(1)),
    datacenter      Bool
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, day, visitor, ts)
SETTINGS non_replicated_deduplication_window = 100000,
         fsync_after_insert = 1,
         fsync_part_directory = 1,
         index_granularity = 8192,
         min_rows_to_fsync_after_merge = 1,
         old_parts_lifetime = 420,
         cleanup_delay_period = 30,
         max_cleanup_delay_period = 60;

-- What is being erased, for as long as that takes: in memory, so that neither a disk nor the list of mutations has it.
CREATE TABLE IF NOT EXISTS pending_erasures -- node
(
    batch   UInt64,
    site    String,
    day     Date,
    visitor UInt64,
    ts      DateTime('UTC')
)
ENGINE = Memory;

-- Likewise what an owner deletes by: the values of a column.
CREATE TABLE IF NOT EXISTS pending_delete_values -- node
(
    batch UInt64,
    value String
)
ENGINE = Memory;

-- Who changes control records at present: one row when it begins, one when it ends. The oldest rows go by themselves.
CREATE TABLE IF NOT EXISTS record_claims -- node
(
    record_table String,
    claim        UInt64,
    released     UInt8,
    at           DateTime64(3) DEFAULT now64(3)
)
ENGINE = Memory
SETTINGS min_rows_to_keep = 2000, max_rows_to_keep = 4000;

-- Collectors that share this database: when each was last heard of, and by when everything it had accepted was stored.
-- `secret` tells apart collectors with different secrets and reveals none; `removed` ones must not come back.
CREATE TABLE IF NOT EXISTS collectors -- everywhere
(
    collector String,
    name      String,
    seen      DateTime64(3, 'UTC') DEFAULT now64(3),
    stored    DateTime64(3, 'UTC'),
    secret    UInt16,
    removed   UInt8
)
ENGINE = ReplacingMergeTree(seen)
ORDER BY collector;

-- Keys of beacons that a killed collector has left in its spool, and which of them the others have. The oldest rows go
-- by themselves.
CREATE TABLE IF NOT EXISTS beacon_claims -- node
(
    claim     UInt64,
    collector String,
    answer    UInt8,
    beacons   Array(UInt64),
    at        DateTime64(3) DEFAULT now64(3)
)
ENGINE = Memory
SETTINGS min_rows_to_keep = 500, max_rows_to_keep = 1000;

-- Control records: one row per record and version, the newest wins; `record` is JSON of the type that reads it.
CREATE TABLE IF NOT EXISTS sites -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS users -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS api_keys -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS notices -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS shares -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Filters of a site's figures that somebody saved under a name.
CREATE TABLE IF NOT EXISTS segments -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Funnels of sites.
CREATE TABLE IF NOT EXISTS funnels -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Notes on dates of a site, for those who read its figures.
CREATE TABLE IF NOT EXISTS annotations -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Receipts of consent that were revoked: hashes of random numbers, until their receipts would have ended.
CREATE TABLE IF NOT EXISTS revoked_receipts -- everywhere
(
    id_hash String,
    day     Date
)
ENGINE = ReplacingMergeTree
ORDER BY id_hash
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Sums of the days that are over: one row per value of each dimension, the empty dimension being the whole site.
-- Built from `events` in one statement. A version is one whole build; `daily_status` says which version of a day counts.
-- Kept is by how much each count exceeds the one below it, which is mostly nothing: half the bytes of the counts.
-- `extra_visits` are visits beyond the visitors: of an `event:` dimension visits with such an event (`visits_with_event`;
-- there are no `visits` and `visit_pageviews` then), of the others visits that began (`visits`; there are no
-- `visits_with_event`). `extra_pageviews` are pageviews beyond the visits, `custom_events` events that are no pageview.
CREATE TABLE IF NOT EXISTS daily_rollup -- sharded by cityHash64(dimension, value)
(
    site                    LowCardinality(String),
    dimension               LowCardinality(String),
    day                     Date CODEC(Delta, ZSTD(1)),
    value                   String CODEC(ZSTD(3)),
    currency                LowCardinality(String),
    visitors                UInt32 CODEC(T64, ZSTD(1)),
    extra_visits            Int32 CODEC(T64, ZSTD(1)),
    extra_pageviews         Int32 CODEC(T64, ZSTD(1)),
    custom_events           UInt32 CODEC(T64, ZSTD(1)),
    pageviews_without_visit UInt32 CODEC(T64, ZSTD(1)),
    bounces                 Int32 CODEC(T64, ZSTD(1)),
    seconds                 UInt64 CODEC(T64, ZSTD(1)),
    page_reads              UInt32 CODEC(T64, ZSTD(1)),
    engagement_ms           UInt64 CODEC(T64, ZSTD(1)),
    scroll_depth_sum        UInt32 CODEC(T64, ZSTD(1)),
    revenue                 Int64 CODEC(T64, ZSTD(1)),
    revenue_events          UInt32 CODEC(T64, ZSTD(1)),
    version                 UInt64 CODEC(Delta, ZSTD(1)),
    visits_with_event       Int64 ALIAS visitors + extra_visits,
    visits                  Int64 ALIAS visitors + extra_visits,
    pageviews               Int64 ALIAS visitors + extra_visits + extra_pageviews,
    visit_pageviews         Int64 ALIAS visitors + extra_visits + extra_pageviews - pageviews_without_visit,
    events                  Int64 ALIAS visitors + extra_visits + extra_pageviews + custom_events
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension, day, value)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 1000000;

-- Which days are closed, the newest version of each. `rows` is how many events the build saw: when there are more
-- now, some came late. `reopened` 1 takes a day back until it is built again. `schema_version` says what was built: 0 to 2
-- by earlier releases, 3 without sums by property, 4 with them; 103 and 104 the same of figures that were imported.
CREATE TABLE IF NOT EXISTS daily_status -- everywhere
(
    site           String,
    day            Date,
    version        UInt64,
    rows           UInt64,
    reopened       UInt8,
    schema_version UInt8
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (site, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- How many events were not kept, by reason and, of bots, by kind. Numbers and nothing else.
CREATE TABLE IF NOT EXISTS dropped_events -- everywhere
(
    site   LowCardinality(String),
    day    Date,
    reason LowCardinality(String),
    kind   LowCardinality(String),
    count  UInt64
)
ENGINE = SummingMergeTree(count)
ORDER BY (site, day, reason, kind)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Of how many events a part was cut or left out, by the part's key on the wire. Numbers and nothing else.
CREATE TABLE IF NOT EXISTS trims -- everywhere
(
    site  LowCardinality(String),
    day   Date,
    part  LowCardinality(String),
    count UInt64
)
ENGINE = SummingMergeTree(count)
ORDER BY (site, day, part)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Who changed what: settings, people, keys, sharing, deletions. About those who run Tyst, never about visitors.
CREATE TABLE IF NOT EXISTS audit_log -- everywhere
(
    at     DateTime('UTC'),
    site   String,
    who    String,
    what   String,
    before String,
    after  String,
    id     UInt64,
    site_id String
)
ENGINE = ReplacingMergeTree
ORDER BY (site, at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Signed-in browsers, and links that let somebody in once; ids are hashes of secrets that nobody keeps.
CREATE TABLE IF NOT EXISTS sessions -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
TTL toDateTime(intDiv(version, 1000000000)) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS invitations -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
TTL toDateTime(intDiv(version, 1000000000)) + INTERVAL 30 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What is to be done to a site's figures: delete, reset, rename; each is gone on with until it is done.
CREATE TABLE IF NOT EXISTS site_jobs -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, old_parts_lifetime = 60;

-- Files of other products' figures that were read: what came of each, never what was in it.
CREATE TABLE IF NOT EXISTS imports -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Who gets a site's reports by mail.
CREATE TABLE IF NOT EXISTS subscriptions -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What is to be sent, and what was: one row for each mail and call, whatever came of it.
CREATE TABLE IF NOT EXISTS deliveries -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
TTL toDateTime(intDiv(version, 1000000000)) + INTERVAL 90 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Where a site's alerts go: addresses and webhooks, whose own addresses and secrets are encrypted.
CREATE TABLE IF NOT EXISTS channels -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What a site's owners want to be told of, and when they last were.
CREATE TABLE IF NOT EXISTS alerts -- everywhere
(
    id      String,
    record  String,
    version UInt64,
    deleted UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
