"""Sign-in by OpenID Connect: the provider, the flow with it, its ID tokens, and the accounts that they open."""
