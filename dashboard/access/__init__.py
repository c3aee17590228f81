"""Accounts, sessions, API keys, invitations, shared links, throttles and the audit log."""
