"""Evidence that a site and an installation keep the rules: notices, assessments, leak search, health."""
