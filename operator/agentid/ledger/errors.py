"""What can be wrong with the ledger's parts.

AgentidError
└── LedgerError
    ├── InvalidRecordError    a record that cannot be kept, or a line that is none
    ├── InvalidKeyError       a text that is no key of a ledger
    ├── InvalidBatchError     an object that is no batch, or records that make none
    ├── InvalidHeadError      a file that is no checkpoint
    ├── InvalidProofError     a file that is no proof, or one that proves nothing
    └── LedgerBrokenError     a chain that is not whole, so that nothing may be added to it
"""

from agentid.errors import AgentidError


class LedgerError(AgentidError):
    """A part of the ledger that cannot be made or read."""


class InvalidRecordError(LedgerError):
    """A record that cannot be kept, or a line that is no record; the text begins with what it does wrong."""


class InvalidKeyError(LedgerError):
    """A text that is no key of a ledger."""


class InvalidBatchError(LedgerError):
    """An object that is no batch, or records that make none; the text names the batch and the field."""


class InvalidHeadError(LedgerError):
    """A file that is no checkpoint of a ledger."""


class InvalidProofError(LedgerError):
    """A file that is no proof of a record, or one that does not prove it; the text says why."""


class LedgerBrokenError(LedgerError):
    """A chain is not whole; the text is the first finding, and how many more there are."""
