"""What the metadata of a Secret says about a standing credential, and what to do instead of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from agentid.api.names import FIELD_MANAGER, SECRET_PREFIX
from agentid.cli.mounted_secrets import Users, Uses
from agentid.cli.selecting import which
from agentid.cluster.connection import Body
from agentid.watched.facts import mapping, moment, text

_ACCOUNT: Final = "kubernetes.io/service-account.name"
_LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
_INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
_CERT_MANAGER: Final = "cert-manager.io/certificate-name"


class Kind(StrEnum):
    """What kind of standing credential a Secret is, by its type."""

    SERVICE_ACCOUNT_TOKEN = "service-account-token"  # noqa: S105 - a kind, not a token
    TLS = "tls"
    BASIC_AUTH = "basic-auth"
    SSH_AUTH = "ssh-auth"
    OPAQUE = "opaque"


TYPES: Final[Mapping[Kind, str]] = {
    Kind.SERVICE_ACCOUNT_TOKEN: "kubernetes.io/service-account-token",
    Kind.TLS: "kubernetes.io/tls",
    Kind.BASIC_AUTH: "kubernetes.io/basic-auth",
    Kind.SSH_AUTH: "kubernetes.io/ssh-auth",
    Kind.OPAQUE: "Opaque",
}
"""The types of Secrets that are looked at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One standing credential.

    Attributes:
        namespace: Its namespace.
        secret: Name of the Secret.
        kind: Of which kind it is.
        age: How long the Secret has been there.
        agents: The Agents whose it is: by their pods, or by the service account of a token.
        pods: The pods of agents that take their contents from it.
        ways: How they refer to it.
        account: Of a token, the service account that it is for.
        last_used: Of a token, the day when the API server last saw it; None: that is not said.
        invalid_since: Of a token, the day since which it is not accepted any more; None: it is.
        certificate: The cert-manager Certificate that it is written for.
    """

    namespace: str
    secret: str
    kind: Kind
    age: timedelta
    agents: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()
    account: str | None = None
    last_used: str | None = None
    invalid_since: str | None = None
    certificate: str | None = None

    @property
    def next(self) -> str:
        """What to do instead of it."""
        if self.invalid_since is not None:
            return f"Kubernetes has not accepted it since {self.invalid_since}. Delete it."
        return _NEXT[self.kind] if self.agents or self.pods else _NOBODYS


_ENDLESS: Final = (
    "It never expires. Give each run an AgentTask, whose certificate says which agent and task it is; for "
    "the API server, take the token that the kubelet mounts and renews. Then delete the Secret."
)
_NOBODYS: Final = (
    "It never expires, and no Agent is seen to use it. If an agent does, write an Agent that lists its "
    "service account and give each run an AgentTask; otherwise take tokens that expire (`kubectl create "
    "token`). Then delete the Secret."
)
_CERTIFICATE: Final = (
    "Where the agent shows this certificate to others, give each run an AgentTask, have them accept its "
    "SPIFFE ID, and take the Secret out of the pod. One that it only serves with may stay."
)
_WRITTEN_DOWN: Final = (
    "If it opens anything, give each run an AgentTask and have that accept its certificate. What cannot, put "
    "into an AgentSecret: a task then has a copy for as long as it runs (docs/static-secrets.md)."
)
_NEXT: Final[Mapping[Kind, str]] = {
    Kind.SERVICE_ACCOUNT_TOKEN: _ENDLESS,
    Kind.TLS: _CERTIFICATE,
    Kind.BASIC_AUTH: _WRITTEN_DOWN,
    Kind.SSH_AUTH: _WRITTEN_DOWN,
    Kind.OPAQUE: _WRITTEN_DOWN,
}


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    Attributes:
        at: When.
        findings: The standing credentials.
        younger: How many Secrets that agents use are left out for their age.
        secrets: How many Secrets were looked at.
        pods: How many pods of agents were.
        agents_known: Whether Agents could be seen.
        gaps: What could not be seen.
    """

    at: datetime
    findings: Sequence[Finding]
    younger: int
    secrets: int
    pods: int
    agents_known: bool
    gaps: tuple[str, ...]


def finding_of(secret: Body, kind: Kind, users: Users, now: datetime) -> Finding | None:
    """Return what a Secret's metadata says of it; None: it is agentid's own, or nothing that agents use.

    A token of a service account is told whoever uses it.
    """
    metadata = mapping(secret.get("metadata"))
    labels, notes = mapping(metadata.get("labels")), mapping(metadata.get("annotations"))
    namespace, name = which(secret)
    uses = users.uses.get((namespace, name))
    is_token = kind is Kind.SERVICE_ACCOUNT_TOKEN
    if _is_agentids(name, labels) or (uses is None and not is_token):
        return None
    uses = uses or Uses()
    account = text(notes.get(_ACCOUNT)) if is_token else ""
    agents = uses.agents | set(users.agents.get((namespace, account), ()))
    return Finding(
        namespace=namespace,
        secret=name,
        kind=kind,
        age=now - (moment(metadata.get("creationTimestamp")) or now),
        agents=tuple(sorted(agents)),
        pods=tuple(sorted(uses.pods)),
        ways=tuple(sorted(uses.ways)),
        account=account or None,
        last_used=_said(labels, _LAST_USED) if is_token else None,
        invalid_since=_said(labels, _INVALID_SINCE) if is_token else None,
        certificate=_said(notes, _CERT_MANAGER),
    )


def is_standing(finding: Finding, least: timedelta) -> bool:
    """Whether it is one to be told: a token always, as it has no end; the others once they are that old."""
    return finding.kind is Kind.SERVICE_ACCOUNT_TOKEN or finding.age >= least


def _is_agentids(name: str, labels: Mapping[str, Any]) -> bool:
    """Whether it is a task's: the name is reserved for them, the label tells those from before that."""
    return name.startswith(SECRET_PREFIX) and labels.get("app.kubernetes.io/managed-by") == FIELD_MANAGER


def _said(of: Mapping[str, Any], key: str) -> str | None:
    return text(of.get(key)) or None
