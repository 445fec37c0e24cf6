"""Settings of the sinks: where the record goes besides the ledger."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings

from agentid.outbound.credentials import CredentialFiles
from agentid.outbound.urls import checked_url
from agentid.process.setting_types import AddressRange, Switch, WholeNumber
from agentid.sinks.http import Receiver

_VARIABLES: Final = "AGENTID_SINK_"


class SinkSettings(BaseSettings):
    """Which sinks there are, and which of them have to get the record for anything to be issued."""

    sink_patience_seconds: Annotated[WholeNumber, Field(ge=1, le=3600)] = 30
    sink_stdout: Switch = True
    sink_segments_folder: Path | None = None
    sink_segments_required: Switch = True
    sink_segments_mebibytes: Annotated[WholeNumber, Field(ge=1, le=1024)] = 64
    sink_segments_files: Annotated[WholeNumber, Field(ge=2, le=100_000)] = 16
    sink_http_url: Annotated[str, AfterValidator(checked_url)] | None = None
    sink_http_required: Switch = True
    sink_http_timeout_seconds: Annotated[WholeNumber, Field(ge=1, le=60)] = 10
    sink_http_allow_addresses: list[AddressRange] = []
    sink_http_ca_file: Path | None = None
    sink_http_token_file: Path | None = None

    def receiver(self) -> Receiver | None:
        """Return where the record is posted to; None: nowhere."""
        if self.sink_http_url is None:
            return None
        return Receiver(
            url=self.sink_http_url,
            timeout_seconds=self.sink_http_timeout_seconds,
            allowed=tuple(self.sink_http_allow_addresses),
            files=CredentialFiles(ca=self.sink_http_ca_file, token=self.sink_http_token_file),
        )

    def sink_problem(self) -> str | None:
        """Return what of these settings does not fit together, or None."""
        receiver = self.receiver()
        if receiver is None or receiver.is_encrypted:
            return None
        for name, path in {
            "HTTP_TOKEN_FILE": self.sink_http_token_file,
            "HTTP_CA_FILE": self.sink_http_ca_file,
        }.items():
            if path is not None:
                return (
                    f"{_VARIABLES}{name} takes https in {_VARIABLES}HTTP_URL: without TLS it would be lost."
                )
        return None
