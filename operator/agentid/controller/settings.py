"""The operator's settings: read once from the environment (`AGENTID_…`), checked, and printed at start."""

import ipaddress
import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as UnreadableSettingError

from agentid.api.admission import AdmissionSettings, OwnerKind
from agentid.api.fields import DnsLabel, DnsName
from agentid.api.names import OPERATOR_LEASE
from agentid.cluster.lease import LeaseTimes
from agentid.cluster.paths import Resource
from agentid.controller.errors import SettingsError
from agentid.controller.opa_settings import OpaSettings
from agentid.controller.sink_settings import SinkSettings
from agentid.lifecycle.model import Limits
from agentid.pki.distribution_point import checked_crl_url
from agentid.pki.errors import InvalidSpiffeIdError
from agentid.pki.spiffe_id import TrustDomain
from agentid.process.setting_types import LabelKey, LabelValue, Switch, WholeNumber

PREFIX: Final = "AGENTID_"
_NOT_OURS: Final = re.compile(
    # What Kubernetes puts into a pod beside Services named agentid or agentid-…, and what `make` reads.
    r"AGENTID_([A-Z0-9_]+_)?SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)"
    r"|AGENTID_([A-Z0-9_]+_)?PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
    r"|AGENTID_PORT|AGENTID_CACHE|AGENTID_DEMO_NODE|AGENTID_IMAGE|AGENTID_E2E_(BUSYBOX|PYTHON)"
)


class WorkloadKind(BaseModel):
    """A kind that `workload.ref` may name."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    api_version: Annotated[str, Field(min_length=1, max_length=253)]
    kind: Annotated[str, Field(min_length=1, max_length=63)]
    resource: Annotated[str, Field(min_length=1, max_length=63)]

    def as_resource(self) -> Resource:
        """Return where such objects live."""
        return Resource(self.api_version, self.kind, self.resource)


class Settings(OpaSettings, SinkSettings, BaseSettings):
    """Everything that can be set; each field is the variable AGENTID_<FIELD>, lists and objects as JSON."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    trust_domain: str
    namespace: DnsLabel
    service_account: DnsName = "agentid"
    kubeconfig: Path | None = None
    instance: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        default_factory=lambda: os.uname().nodename
    )
    watch_namespaces: list[DnsLabel] = []
    cluster_labels: dict[LabelKey, LabelValue] = {}
    workload_kinds: list[WorkloadKind] = [WorkloadKind(api_version="batch/v1", kind="Job", resource="jobs")]
    wipe_grace_seconds: Annotated[WholeNumber, Field(ge=1, le=3600)] = 120
    max_ttl_seconds: Annotated[WholeNumber, Field(ge=30, le=86_400)] = 86_400
    max_active_deadline_seconds: Annotated[WholeNumber, Field(ge=30, le=2_592_000)] = 2_592_000
    max_start_deadline_seconds: Annotated[WholeNumber, Field(ge=1, le=604_800)] = 604_800
    max_active_tasks: Annotated[WholeNumber, Field(ge=0, le=1_000_000)] = 20_000
    """Of each namespace that has no label of its own for that."""
    max_break_glass_seconds: Annotated[WholeNumber, Field(ge=30, le=3600)] = 900
    max_approval_seconds: Annotated[WholeNumber, Field(ge=60, le=2_592_000)] = 604_800
    heartbeat: Switch = False
    """Whether to show decision points once a second that it lives."""
    crl_url: Annotated[str, AfterValidator(checked_crl_url)] | None = None
    mutating_admission: Switch = True
    concurrency: Annotated[WholeNumber, Field(ge=1, le=256)] = 12
    ledger_keep_seconds: Annotated[WholeNumber, Field(ge=60, le=604_800)] = 3600
    ledger_keep_mebibytes: Annotated[WholeNumber, Field(ge=1, le=512)] = 32
    ledger_key_days: Annotated[WholeNumber, Field(ge=1, le=3650)] = 90
    resync_seconds: Annotated[WholeNumber, Field(ge=5, le=86_400)] = 300
    admission_proof_seconds: Annotated[WholeNumber, Field(ge=1, le=60)] = 60
    static_secret_seconds: Annotated[WholeNumber, Field(ge=1, le=60)] = 60
    lease_name: DnsName = OPERATOR_LEASE
    """The chart's Role names this Lease and no other: another name needs a Role that allows it."""
    lease_duration_seconds: Annotated[WholeNumber, Field(ge=3, le=300)] = 15
    lease_renew_deadline_seconds: Annotated[WholeNumber, Field(ge=2, le=299)] = 10
    lease_retry_seconds: Annotated[WholeNumber, Field(ge=1, le=100)] = 2
    bind_address: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from outside the pod
    metrics_port: Annotated[WholeNumber, Field(ge=0, le=65_535)] = 8080
    drain_seconds: Annotated[WholeNumber, Field(ge=1, le=300)] = 20
    traces: Switch = False
    """Whether spans are sent, to where OpenTelemetry's own variables say."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"

    @field_validator("trust_domain")
    @classmethod
    def _is_served(cls, value: str) -> str:
        try:
            TrustDomain(value).bundle_file_name()
        except InvalidSpiffeIdError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("bind_address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            raise ValueError("must be an IP address, such as 0.0.0.0, :: or 127.0.0.1") from error
        return value

    def limits(self) -> Limits:
        """Return what decisions are bounded by."""
        return Limits(
            trust_domain=self.trust_domain,
            wipe_grace=timedelta(seconds=self.wipe_grace_seconds),
            max_ttl=timedelta(seconds=self.max_ttl_seconds),
            max_active_deadline=timedelta(seconds=self.max_active_deadline_seconds),
            max_break_glass=timedelta(seconds=self.max_break_glass_seconds),
        )

    def admission(self) -> AdmissionSettings:
        """Return what the admission rules of this installation depend on."""
        return AdmissionSettings(
            operator_namespace=self.namespace,
            operator_service_account=self.service_account,
            mutating=self.mutating_admission,
            max_ttl_seconds=self.max_ttl_seconds,
            max_active_deadline_seconds=self.max_active_deadline_seconds,
            max_start_deadline_seconds=self.max_start_deadline_seconds,
            max_break_glass_seconds=self.max_break_glass_seconds,
            max_approval_seconds=self.max_approval_seconds,
            watch_namespaces=tuple(self.watch_namespaces),
            workload_kinds=tuple(
                OwnerKind(kind.group, kind.kind, kind.plural)
                for kind in (each.as_resource() for each in self.workload_kinds)
            ),
        )

    def heartbeat_namespaces(self) -> tuple[str, ...]:
        """Return where the heartbeat is: in what each watch of a decision point brings."""
        return tuple(self.watch_namespaces or [self.namespace]) if self.heartbeat else ()

    def lease_times(self) -> LeaseTimes:
        """Return how long the lease holds and how it is renewed."""
        return LeaseTimes(
            self.lease_duration_seconds, self.lease_renew_deadline_seconds, self.lease_retry_seconds
        )

    def shown(self) -> dict[str, Any]:
        """Return all settings for the log; none of them is a secret, files are named and not shown."""
        return self.model_dump(mode="json")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Return the settings in `environment`, which is that of this process.

    Raises:
        SettingsError: one is missing, unknown or not acceptable; the text is one sentence that names it.
    """
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    named = {name for name in environment if name.startswith(PREFIX) and not _NOT_OURS.fullmatch(name)}
    if unknown := sorted(named - known):
        raise SettingsError(
            f"{', '.join(unknown)} is not a setting of the operator; known are {', '.join(sorted(known))}."
        )
    try:
        settings = Settings()
    except UnreadableSettingError as error:
        raise SettingsError(
            f"Not JSON: {PREFIX}WATCH_NAMESPACES is written like "
            f'["team-a", "team-b"], {PREFIX}WORKLOAD_KINDS like '
            f'[{{"apiVersion": "batch/v1", "kind": "Job", "resource": "jobs"}}], {PREFIX}CLUSTER_LABELS like '
            f'{{"env": "prod"}}, {PREFIX}OPA_ALLOW_ADDRESSES and '
            f'{PREFIX}SINK_HTTP_ALLOW_ADDRESSES like ["10.0.0.7/32"].'
        ) from error
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from error
    if (
        not settings.lease_duration_seconds
        > settings.lease_renew_deadline_seconds
        > (1.2 * settings.lease_retry_seconds)
    ):
        raise SettingsError(
            f"{PREFIX}LEASE_DURATION_SECONDS must be more than {PREFIX}LEASE_RENEW_DEADLINE_SECONDS, "
            f"and that more than 1.2 times {PREFIX}LEASE_RETRY_SECONDS."
        )
    if (problem := settings.opa_problem() or settings.sink_problem()) is not None:
        raise SettingsError(problem)
    return settings


def _sentence(error: ValidationError) -> str:
    problems = []
    for each in error.errors(include_url=False, include_input=False):
        field, *rest = (str(part) for part in each["loc"])
        where = f"{PREFIX}{field.upper()}" + (f" ({'.'.join(rest)})" if rest else "")
        problems.append(f"{where}: {each['msg'].removeprefix('Value error, ')}")
    return "Not acceptable: " + "; ".join(problems) + "."
