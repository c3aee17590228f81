"""Sites and goals: their fields and rules, and the registry that holds them in memory."""
