"""Formats of imported files, one module each."""
