"""Who may be counted, and under which identifier: consent, receipts, daily salts and visitor ids."""
