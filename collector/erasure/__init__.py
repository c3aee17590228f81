"""Whatever removes or renames stored data, and what visitors may request of theirs."""
