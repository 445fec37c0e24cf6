"""Settings of the OPA that is asked beside Cedar: the platform team's, as no object of a tenant has any."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from agentid.opa.endpoint import Endpoint, checked_path, checked_url
from agentid.outbound.credentials import CredentialFiles
from agentid.process.setting_types import AddressRange, WholeNumber

_VARIABLES: Final = "AGENTID_OPA_"


class OpaSettings(BaseSettings):
    """Where OPA is, if it is asked, and how."""

    opa_url: Annotated[str, AfterValidator(checked_url)] | None = None
    opa_path: Annotated[str, AfterValidator(checked_path)] = "agentid/allow"
    opa_timeout_milliseconds: Annotated[WholeNumber, Field(ge=50, le=10_000)] = 1000
    opa_grace_seconds: Annotated[WholeNumber, Field(ge=0, le=3600)] = 60
    opa_allow_addresses: list[AddressRange] = []
    opa_ca_file: Path | None = None
    opa_client_certificate_file: Path | None = None
    opa_client_key_file: Path | None = None
    opa_token_file: Path | None = None

    def opa(self) -> Endpoint | None:
        """Return the OPA that is asked; None: none is."""
        if self.opa_url is None:
            return None
        return Endpoint(
            url=self.opa_url,
            path=self.opa_path,
            timeout_seconds=self.opa_timeout_milliseconds / 1000,
            allowed=tuple(self.opa_allow_addresses),
            files=CredentialFiles(
                ca=self.opa_ca_file,
                certificate=self.opa_client_certificate_file,
                key=self.opa_client_key_file,
                token=self.opa_token_file,
            ),
        )

    def opa_problem(self) -> str | None:
        """Return what of these settings does not fit together, or None."""
        endpoint = self.opa()
        if (self.opa_client_certificate_file is None) != (self.opa_client_key_file is None):
            both = f"{_VARIABLES}CLIENT_CERTIFICATE_FILE and {_VARIABLES}CLIENT_KEY_FILE"
            return f"{both} go together: set both or none."
        needs_tls = {
            "TOKEN_FILE": self.opa_token_file,
            "CA_FILE": self.opa_ca_file,
            "CLIENT_CERTIFICATE_FILE": self.opa_client_certificate_file,
        }
        if endpoint is not None and not endpoint.is_encrypted:
            for name, path in needs_tls.items():
                if path is not None:
                    return f"{_VARIABLES}{name} takes https in {_VARIABLES}URL: without TLS it would be lost."
        return None
