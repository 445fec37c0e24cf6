"""Says what a caller has no right to, and what would give it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agentid.cli.errors import NotSeenError
from agentid.cli.session import Session
from agentid.cluster.errors import AdmissionRefusedError, ForbiddenError, NamespaceTerminatingError

_UNAUTHORIZED: Final = 401
READERS: Final = "agentid-viewer, or agentid-approver"
"""Which of the chart's ClusterRoles let their holder read tasks and approvals."""


@contextmanager
def reading(here: Session, what: str, roles: str = READERS) -> Iterator[None]:
    """Tell in one sentence what the caller may not read within the block.

    Args:
        here: Where it is read.
        what: What is read: `list agenttasks.agentid.dev`.
        roles: The ClusterRoles that give it.

    Raises:
        NotSeenError: they may not.
    """
    try:
        yield
    except ForbiddenError as error:
        is_rbac = not isinstance(error, AdmissionRefusedError | NamespaceTerminatingError)
        if not is_rbac or error.status.get("code") == _UNAUTHORIZED:
            raise
        raise NotSeenError(f"you may not {what} in {_bound(here, roles)}") from error


def _bound(here: Session, roles: str) -> str:
    gives = f"ClusterRole {roles}{',' if ',' in roles else ''} gives that, bound by"
    if here.everywhere:
        return f"all namespaces; {gives} a ClusterRoleBinding"
    return f"namespace {here.namespace}; {gives} a RoleBinding there"
