"""Passkeys (Web Authentication, level 2): the relying party, its challenges, and the accounts that they open."""
