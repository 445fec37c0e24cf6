"""Which enforcement points may ask, how each shows who it is, and about whose tasks: by configuration."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from agentid.api.fields import DnsLabel, DnsName, Model
from agentid.gate.errors import UnauthenticatedError
from agentid.gate.question import EnforcementPoint
from agentid.pki.errors import InvalidSpiffeIdError
from agentid.pki.spiffe_id import SpiffeId

_HOW: Final = (
    "Show a client certificate of this trust domain, or a service-account token for this decision point as "
    "`Authorization: Bearer`, of an enforcement point that is listed."
)


class ServiceAccount(Model):
    """A service account, whose token is sent."""

    namespace: DnsLabel
    name: DnsName

    @property
    def username(self) -> str:
        """What the API server calls it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


class EnforcementPointSpec(Model):
    """One enforcement point: by its SPIFFE ID or its service account."""

    spiffe_id: Annotated[str, Field(max_length=2048)] | None = Field(default=None, alias="spiffeID")
    service_account: ServiceAccount | None = None
    namespaces: Annotated[list[DnsLabel | Literal["*"]], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.spiffe_id is None) is (self.service_account is None):
            raise ValueError("an enforcement point has one of spiffeID and serviceAccount")
        if self.spiffe_id is not None:
            try:
                SpiffeId.parse(self.spiffe_id)
            except InvalidSpiffeIdError as error:
                raise ValueError(str(error)) from error
        return self

    @property
    def name(self) -> str:
        """How it shows who it is."""
        return self.service_account.username if self.service_account else str(self.spiffe_id)

    def as_asker(self) -> EnforcementPoint:
        """Return who asks when it does."""
        everywhere = "*" in self.namespaces
        return EnforcementPoint(self.name, None if everywhere else frozenset(self.namespaces))


class EnforcementPoints:
    """All enforcement points, by how they show who they are."""

    def __init__(self, specs: Iterable[EnforcementPointSpec]) -> None:
        """Take in those that are configured.

        Raises:
            ValueError: one stands there twice.
        """
        listed = [each.as_asker() for each in specs]
        self._by_name = {each.name: each for each in listed}
        if len(self._by_name) < len(listed):
            raise ValueError("an enforcement point is listed twice")

    def named(self, name: str) -> EnforcementPoint:
        """Return the enforcement point that showed that it is `name`.

        Raises:
            UnauthenticatedError: none is.
        """
        found = self._by_name.get(name)
        if found is None:
            raise UnauthenticatedError(f"Whoever asks is no enforcement point that is listed. {_HOW}")
        return found

    def certified(self, certificate: Mapping[str, Any] | None) -> EnforcementPoint | None:
        """Return the enforcement point of a verified client certificate; None: it showed none.

        Args:
            certificate: As `ssl.SSLSocket.getpeercert` gives it.

        Raises:
            UnauthenticatedError: it is of no enforcement point.
        """
        if not certificate:
            return None
        names = certificate.get("subjectAltName", ())
        uris = [value for kind, value in names if kind == "URI"]
        if len(uris) != 1:
            raise UnauthenticatedError(f"The client certificate has not exactly one URI. {_HOW}")
        return self.named(uris[0])


def unauthenticated() -> UnauthenticatedError:
    """Return what is told to whoever shows nothing."""
    return UnauthenticatedError(f"Nobody is known to ask. {_HOW}")
