"""The dashboard, the HTTP APIs and the `tyst` command."""
