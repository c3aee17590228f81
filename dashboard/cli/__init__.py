"""Command line: `tyst`, with a module for each group of commands."""

from collector.core.environment import isolate_engine

# Before any other import: Babel reads the time zone when it is imported, and stops where it cannot.
isolate_engine()
