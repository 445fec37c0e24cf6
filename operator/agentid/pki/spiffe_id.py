"""SPIFFE IDs and trust domains, accepted exactly as the SPIFFE-ID standard writes them, in no other form."""

import re
from dataclasses import dataclass
from typing import Final, Self

from agentid.pki.errors import InvalidSpiffeIdError

SCHEME: Final = "spiffe://"
MAX_SPIFFE_ID_BYTES: Final = 2048
"""SPIFFE-ID §2.3."""
MAX_TRUST_DOMAIN_BYTES: Final = 255
"""SPIFFE-ID §2.3."""

BUNDLE_FILE_SUFFIX: Final = ".spiffe-trust-bundle.pem"
_MAX_SECRET_KEY_LENGTH: Final = 253
MAX_SERVED_TRUST_DOMAIN_BYTES: Final = _MAX_SECRET_KEY_LENGTH - len(BUNDLE_FILE_SUFFIX)
"""Longest trust domain whose bundle file can be a key of a Kubernetes Secret."""

_NOT_IN_TRUST_DOMAIN: Final = re.compile(r"[^a-z0-9._-]")
_NOT_IN_SEGMENT: Final = re.compile(r"[^a-zA-Z0-9._-]")
_DNS_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(rf"{_DNS_LABEL.pattern}(?:\.{_DNS_LABEL.pattern})*")
_MAX_DNS_SUBDOMAIN_LENGTH: Final = 253
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_SHOWN_CHARACTERS: Final = 120


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """The name of a trust domain, such as `cluster.example.org` (SPIFFE-ID §2.1).

    Raises:
        InvalidSpiffeIdError: `name` is not a trust domain.
    """

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidSpiffeIdError("a trust domain must not be empty")
        if foreign := _NOT_IN_TRUST_DOMAIN.search(self.name):
            raise InvalidSpiffeIdError(
                f"trust domain {_shown(self.name)} holds {foreign.group()!a}; "
                "only a-z, 0-9, '.', '-' and '_' are allowed"
            )
        if len(self.name) > MAX_TRUST_DOMAIN_BYTES:
            raise InvalidSpiffeIdError(
                f"trust domain {_shown(self.name)} has {len(self.name)} bytes; "
                f"at most {MAX_TRUST_DOMAIN_BYTES} are allowed"
            )

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the trust domain that `text` names, without scheme; nothing is trimmed or folded.

        Raises:
            InvalidSpiffeIdError: `text` is not a trust domain.
        """
        return cls(text)

    def bundle_file_name(self) -> str:
        """Return the file name of this trust domain's bundle (SPIFFE filesystem draft).

        A cluster can serve only a trust domain whose bundle file is also a valid key of a Secret: that is
        narrower than the standard, which other trust domains may use in full.

        Raises:
            InvalidSpiffeIdError: no key of a Kubernetes Secret can have this name.
        """
        file_name = f"{self.name}{BUNDLE_FILE_SUFFIX}"
        if len(file_name) > _MAX_SECRET_KEY_LENGTH:
            raise InvalidSpiffeIdError(
                f"trust domain {_shown(self.name)} has {len(self.name)} bytes; a trust domain served by "
                f"agentid has at most {MAX_SERVED_TRUST_DOMAIN_BYTES}, because its bundle's file name is a "
                "key of a Kubernetes Secret"
            )
        if file_name.startswith(".."):
            raise InvalidSpiffeIdError(
                f"trust domain {_shown(self.name)} cannot be served by agentid: its bundle's file name would "
                "begin with '..', which no key of a Kubernetes Secret may"
            )
        return file_name


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """A SPIFFE ID: a trust domain and a path, which is empty only for the trust domain itself (SPIFFE-ID §2).

    Raises:
        InvalidSpiffeIdError: `path` is not the path of a SPIFFE ID, or the whole is too long.
    """

    trust_domain: TrustDomain
    path: str

    def __post_init__(self) -> None:
        # Trust domain and path are ASCII once this has passed, so characters count bytes.
        length = len(SCHEME) + len(self.trust_domain.name) + len(self.path)
        if length > MAX_SPIFFE_ID_BYTES:
            raise InvalidSpiffeIdError(
                f"SPIFFE ID {_shown(str(self))} has more than {MAX_SPIFFE_ID_BYTES} bytes"
            )
        if self.path and (reason := _why_no_path(self.path)):
            raise InvalidSpiffeIdError(f"SPIFFE ID {_shown(str(self))} {reason}")

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain.name}{self.path}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the SPIFFE ID that `text` writes; `str()` gives the same text back.

        Raises:
            InvalidSpiffeIdError: `text` is not a SPIFFE ID, to the letter.
        """
        if not text.startswith(SCHEME):
            raise InvalidSpiffeIdError(f"SPIFFE ID {_shown(text)} does not begin with {SCHEME}")
        name, slash, rest = text.removeprefix(SCHEME).partition("/")
        return cls(TrustDomain(name), slash + rest)

    @classmethod
    def for_task(cls, trust_domain: TrustDomain, namespace: str, agent: str, task_uid: str) -> Self:
        """Return `spiffe://<trust domain>/ns/<namespace>/agent/<agent>/task/<uid>`, one task's SPIFFE ID.

        Args:
            trust_domain: The cluster's trust domain.
            namespace: The task's namespace, an RFC 1123 label.
            agent: The name of the task's Agent, an RFC 1123 subdomain.
            task_uid: The AgentTask's `metadata.uid`, an RFC 4122 UUID in lower case.

        Raises:
            InvalidSpiffeIdError: one of the names is not what Kubernetes would have given.
        """
        if _DNS_LABEL.fullmatch(namespace) is None:
            raise InvalidSpiffeIdError(f"namespace {_shown(namespace)} is not an RFC 1123 label")
        if len(agent) > _MAX_DNS_SUBDOMAIN_LENGTH or _DNS_SUBDOMAIN.fullmatch(agent) is None:
            raise InvalidSpiffeIdError(f"Agent name {_shown(agent)} is not an RFC 1123 subdomain")
        if _UUID.fullmatch(task_uid) is None:
            raise InvalidSpiffeIdError(f"task UID {_shown(task_uid)} is not an RFC 4122 UUID in lower case")
        return cls(trust_domain, f"/ns/{namespace}/agent/{agent}/task/{task_uid}")


def _why_no_path(path: str) -> str | None:
    """Say what keeps the non-empty `path` from being a SPIFFE ID's path (SPIFFE-ID §2.2), if anything."""
    if not path.startswith("/"):
        return "has a path that does not begin with '/'"
    for segment in path[1:].split("/"):
        if not segment:
            return "has an empty path segment or ends in '/'"
        if segment in {".", ".."}:
            return f"has the path segment '{segment}'"
        if foreign := _NOT_IN_SEGMENT.search(segment):
            return (
                f"holds {foreign.group()!a} in its path; "
                "only a-z, A-Z, 0-9, '.', '-' and '_' are allowed between slashes"
            )
    return None


def _shown(text: str) -> str:
    """Quote `text` for a message: look-alike and control characters escaped, cut to a readable length."""
    if len(text) <= _SHOWN_CHARACTERS:
        return ascii(text)
    return f"{text[:_SHOWN_CHARACTERS]!a}…"
