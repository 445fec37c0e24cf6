"""The root of every error that agentid raises on purpose.

    AgentidError
    ├── api.errors        a name, value or object that is not acceptable
    ├── pki.errors        an identity, certificate or CRL that cannot be made
    ├── ledger.errors     a record, key or batch of the ledger that cannot be made or read
    ├── outbound.errors   what keeps a connection to another place from being made
    ├── sinks.errors      what keeps the record from a sink
    ├── cluster.errors    what the API server answered, translated once
    └── controller.errors a start that cannot go on

Each package draws its own branch at the top of its `errors` module.
"""


class AgentidError(Exception):
    """Something agentid refuses or cannot do; its text is written for the person who reads it."""
