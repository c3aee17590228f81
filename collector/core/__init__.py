"""What every package may use: settings, errors, counters, time zones, locks, texts and packaged files."""
