"""Queries and their results. No other package reads the analytics tables."""
