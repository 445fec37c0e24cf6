"""What can go wrong in deciding.

AgentidError
└── LifecycleError
    ├── UnreadableTaskError        a rule asked what an unreadable task wants: a mistake in RULES
    ├── UnjudgedTaskError          a credential that policy was not asked about, or denies
    └── UnorderedCredentialError   a report on a credential that no plan ordered
"""

from agentid.errors import AgentidError


class LifecycleError(AgentidError):
    """A decision that could not be made."""


class UnreadableTaskError(LifecycleError):
    """What a task asks for was needed, but the object does not fit its model."""


class UnjudgedTaskError(LifecycleError):
    """A credential is about to be recorded that policy does not allow: nothing is released."""


class UnorderedCredentialError(LifecycleError):
    """A credential was handed in that no plan ordered, or not like this: it must not be recorded."""
