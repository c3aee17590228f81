-- events are numbered within their visit
ALTER TABLE events ADD COLUMN IF NOT EXISTS seq UInt32 CODEC(Delta, ZSTD(1));
