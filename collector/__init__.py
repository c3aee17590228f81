"""Takes beacons in, keeps what may be kept, and puts it into ClickHouse."""
