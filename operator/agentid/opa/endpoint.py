"""Where OPA is and how it is asked, as the platform team set it."""

import re
from dataclasses import dataclass, field
from typing import Final

from agentid.outbound.addresses import Network
from agentid.outbound.credentials import CredentialFiles
from agentid.outbound.urls import checked_parts

_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_MAX_PATH_LENGTH: Final = 253


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where OPA is.

    Attributes:
        url: Scheme, host and port, such as `https://opa.opa.svc:8181`.
        path: The document that decides, such as `agentid/allow`.
        timeout_seconds: How long one question may take, everything included.
        allowed: Addresses that may be asked though they are of a kind that otherwise may not.
        files: What it is shown and whom it has to be, read for each question.
    """

    url: str
    path: str
    timeout_seconds: float
    allowed: tuple[Network, ...] = ()
    files: CredentialFiles = field(default_factory=CredentialFiles)

    @property
    def question(self) -> str:
        """What is posted to."""
        return f"{self.url}/v1/data/{self.path}"

    @property
    def rule(self) -> str:
        """How people name what is asked."""
        return f"data.{self.path.replace('/', '.')}"

    @property
    def is_encrypted(self) -> bool:
        """Whether it is asked over TLS."""
        return self.url.startswith("https://")


def checked_url(text: str) -> str:
    """Return the URL of an OPA as it is used.

    Raises:
        ValueError: it is not acceptable; the text says why.
    """
    parts = checked_parts(text, "https://opa.opa.svc:8181")
    if parts.path not in {"", "/"} or parts.query:
        raise ValueError("must have scheme, host and port only; the document is set apart from it")
    return f"{parts.scheme}://{parts.netloc}"


def checked_path(text: str) -> str:
    """Return the path of a document in OPA.

    Raises:
        ValueError: it is not acceptable; the text says why.
    """
    if len(text) > _MAX_PATH_LENGTH or _PATH.fullmatch(text) is None:
        raise ValueError("must be the path of a document, such as agentid/allow: names between slashes")
    return text
