"""The collector: receives beacons, stores what consent and settings allow, and writes it to ClickHouse."""
