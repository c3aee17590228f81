"""The durable queue between an acknowledged beacon and ClickHouse, in SQLite files."""
