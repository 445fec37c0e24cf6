"""Who may have an identity for what: Cedar text, the schema it is held to, and the decision (pure)."""
