"""The `tyst` command."""
