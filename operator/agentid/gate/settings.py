"""The decision point's settings: read once from the environment (`AGENTID_GATE_…`) and checked."""

import ipaddress
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSettingError

from agentid.api.agent import Sensitivity
from agentid.api.fields import DnsLabel, DnsName
from agentid.gate.case import Limits
from agentid.gate.decision_log import Keeping
from agentid.gate.enforcement_points import EnforcementPoints, EnforcementPointSpec
from agentid.gate.errors import GateSettingsError
from agentid.gate.http_server import Caps
from agentid.gate.peers import Source
from agentid.gate.tls import TlsFiles
from agentid.pki.errors import InvalidSpiffeIdError
from agentid.pki.spiffe_id import TrustDomain
from agentid.process.setting_types import LabelKey, LabelValue, Switch, WholeNumber
from agentid.sinks.segments import SegmentSink

PREFIX: Final = "AGENTID_GATE_"
_MEBIBYTE: Final = 1024 * 1024

Port = Annotated[WholeNumber, Field(ge=0, le=65_535)]
Seconds = Annotated[WholeNumber, Field(ge=1, le=3600)]


class GateSettings(BaseSettings):
    """All that can be set; each field is the variable AGENTID_GATE_<FIELD>, lists and objects as JSON."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    trust_domain: str
    namespace: DnsLabel
    """The operator's."""
    kubeconfig: Path | None = None
    watch_namespaces: list[DnsLabel] = []
    cluster_labels: dict[LabelKey, LabelValue] = {}
    enforcement_points: Annotated[list[EnforcementPointSpec], Field(max_length=1000)] = []
    token_audience: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """For whom service-account tokens have to be; left out: none are taken."""
    mapping_file: Path | None = None
    caller_from: Annotated[list[Source], Field(max_length=3)] = [Source.CERTIFICATE]
    max_age_seconds: Annotated[WholeNumber, Field(ge=1, le=60)] = 5
    max_age_public_seconds: Seconds | None = None
    max_age_internal_seconds: Seconds | None = None
    max_skew_milliseconds: Annotated[WholeNumber, Field(ge=0, le=10_000)] = 2000
    public_without_serial: Switch = False
    base_url: Annotated[str, Field(max_length=1024)] = "https://agentid-gate"
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None
    insecure: Switch = False
    """Serve without TLS, so that nobody can show a certificate: on loopback only."""
    bind_address: str = "0.0.0.0"  # noqa: S104 - enforcement points are other pods
    http_port: Port = 8443
    grpc_port: Port = 9443
    metrics_port: Port = 8080
    max_body_bytes: Annotated[WholeNumber, Field(ge=1024, le=1_048_576)] = 65_536
    read_seconds: Annotated[WholeNumber, Field(ge=1, le=60)] = 5
    max_connections: Annotated[WholeNumber, Field(ge=1, le=65_536)] = 1024
    max_calls: Annotated[WholeNumber, Field(ge=1, le=65_536)] = 1024
    instance: DnsName = Field(default_factory=lambda: os.uname().nodename)
    """Name of this pod: its reports are called so."""
    decision_log_folder: Path | None = None
    decision_log_allowed_percent: Annotated[WholeNumber, Field(ge=0, le=100)] = 10
    decision_log_mebibytes: Annotated[WholeNumber, Field(ge=1, le=1024)] = 16
    decision_log_files: Annotated[WholeNumber, Field(ge=1, le=10_000)] = 8
    decision_log_required: Switch = False
    traces: Switch = False
    """Whether spans are sent, to where OpenTelemetry's own variables say."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @field_validator("trust_domain")
    @classmethod
    def _is_one(cls, value: str) -> str:
        try:
            return TrustDomain(value).name
        except InvalidSpiffeIdError as error:
            raise ValueError(str(error)) from error

    @field_validator("bind_address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError as error:
            raise ValueError("must be an IP address, such as 0.0.0.0, :: or 127.0.0.1") from error

    def limits(self) -> Limits:
        """Return what decisions are bounded by."""
        seconds = dict.fromkeys(Sensitivity, self.max_age_seconds)
        seconds[Sensitivity.PUBLIC] = self.max_age_public_seconds or self.max_age_seconds
        seconds[Sensitivity.INTERNAL] = self.max_age_internal_seconds or self.max_age_seconds
        return Limits(
            self.trust_domain,
            {each: timedelta(seconds=most) for each, most in seconds.items()},
            timedelta(milliseconds=self.max_skew_milliseconds),
            self.public_without_serial,
        )

    def caps(self) -> Caps:
        """Return what may be sent."""
        return Caps(self.max_body_bytes, float(self.read_seconds), self.max_connections)

    def keeping(self) -> Keeping:
        """Return what is kept of decisions."""
        return Keeping(self.decision_log_allowed_percent / 100, self.decision_log_required)

    def files(self) -> SegmentSink | None:
        """Return where they are kept; None: nowhere."""
        if self.decision_log_folder is None:
            return None
        return SegmentSink(
            self.decision_log_folder,
            max_bytes=self.decision_log_mebibytes * _MEBIBYTE,
            max_files=self.decision_log_files,
        )

    def tls(self) -> TlsFiles | None:
        """Return with what it is served; None: without TLS."""
        if self.tls_certificate_file is None or self.tls_key_file is None:
            return None
        return TlsFiles(self.tls_certificate_file, self.tls_key_file, self.tls_client_ca_file)

    def shown(self) -> dict[str, Any]:
        """Return all settings for the log; none of them is a secret, files are named and not shown."""
        return self.model_dump(mode="json")


def read_gate_settings(environment: Mapping[str, str]) -> GateSettings:
    """Return the settings in `environment`, which is that of this process.

    Raises:
        GateSettingsError: one is missing, unknown or not acceptable; the text is one sentence that names it.
    """
    known = {f"{PREFIX}{field.upper()}" for field in GateSettings.model_fields}
    if unknown := sorted(name for name in environment if name.startswith(PREFIX) and name not in known):
        of_a_service = [name for name in unknown if "_SERVICE_" in name or "_PORT_" in name]
        if unknown != of_a_service:
            wrong = ", ".join(sorted(set(unknown) - set(of_a_service)))
            raise GateSettingsError(
                f"{wrong} is not a setting of the decision point; known are {', '.join(sorted(known))}."
            )
    try:
        settings = GateSettings()
        EnforcementPoints(settings.enforcement_points)
    except UnreadableSettingError as error:
        raise GateSettingsError(
            f'Not JSON: {PREFIX}ENFORCEMENT_POINTS is written like [{{"spiffeID": "spiffe://…", '
            f'"namespaces": ["team-a"]}}], {PREFIX}CALLER_FROM like ["certificate"].'
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field, *rest = (str(part) for part in first["loc"])
        where = f"{PREFIX}{field.upper()}" + (f" ({'.'.join(rest)})" if rest else "")
        raise GateSettingsError(f"{where}: {first['msg'].removeprefix('Value error, ')}.") from error
    except ValueError as error:
        raise GateSettingsError(f"{PREFIX}ENFORCEMENT_POINTS: {error}.") from error
    if (problem := _problem(settings)) is not None:
        raise GateSettingsError(problem)
    return settings


def _problem(settings: GateSettings) -> str | None:
    """Return what of these settings does not fit together, or None."""
    if (settings.tls_certificate_file is None) != (settings.tls_key_file is None):
        return f"{PREFIX}TLS_CERTIFICATE_FILE and {PREFIX}TLS_KEY_FILE go together: set both or none."
    if settings.tls() is None and not settings.insecure:
        return f"{PREFIX}TLS_CERTIFICATE_FILE and {PREFIX}TLS_KEY_FILE are missing: decisions take TLS."
    if settings.decision_log_required and settings.decision_log_folder is None:
        return f"{PREFIX}DECISION_LOG_REQUIRED goes with {PREFIX}DECISION_LOG_FOLDER: say where it is kept."
    if settings.insecure and not ipaddress.ip_address(settings.bind_address).is_loopback:
        return (
            f"{PREFIX}INSECURE is for {PREFIX}BIND_ADDRESS 127.0.0.1 or ::1 only: who asks has to be known."
        )
    return None
