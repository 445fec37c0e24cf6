"""Identities and the X.509 that proves them: SPIFFE IDs, certificate authority, X.509-SVIDs, files (pure)."""
