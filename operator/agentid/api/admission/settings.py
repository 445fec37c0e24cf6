"""What the admission rules depend on: who and where the operator is, and what the cluster allows."""

import re
from dataclasses import dataclass
from typing import Final

from agentid.api.errors import AdmissionSettingsError

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_RESOURCE: Final = re.compile(r"[a-z][a-z0-9]{0,62}")


_LIMITS: Final = (
    "max_ttl_seconds",
    "max_active_deadline_seconds",
    "max_start_deadline_seconds",
    "max_break_glass_seconds",
    "max_approval_seconds",
)


@dataclass(frozen=True, slots=True)
class OwnerKind:
    """A kind whose objects may run a task, and control the pods that do.

    Raises:
        AdmissionSettingsError: a value would change the meaning of a rule.
    """

    group: str
    kind: str
    resource: str

    def __post_init__(self) -> None:
        if (
            (self.group and _NAME.fullmatch(self.group) is None)
            or _KIND.fullmatch(self.kind) is None
            or _RESOURCE.fullmatch(self.resource) is None
        ):
            raise AdmissionSettingsError(
                f"group {self.group!r}, kind {self.kind!r}, resource {self.resource!r} is no kind of object, "
                "such as group 'batch', kind 'Job', resource 'jobs'"
            )


JOB: Final = OwnerKind("batch", "Job", "jobs")


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """What an installation says about its admission rules.

    Attributes:
        operator_namespace: Where the operator runs.
        operator_service_account: Whose token it uses.
        mutating: Whether the API server serves MutatingAdmissionPolicy v1 and the chart uses it. Without it
            nothing is stamped or injected, and the validating rules ask the requester to type the stamp.
        max_ttl_seconds: The longest life of one credential, in seconds.
        max_active_deadline_seconds: The longest task, in seconds.
        max_start_deadline_seconds: The longest wait for the first credential, in seconds.
        max_break_glass_seconds: The longest emergency, in seconds.
        max_approval_seconds: How long an approval may count, in seconds.
        watch_namespaces: Where the operator serves; none: everywhere.
        workload_kinds: What a task may name as its workload.

    Raises:
        AdmissionSettingsError: a value would change the meaning of a rule.
    """

    operator_namespace: str
    operator_service_account: str
    mutating: bool = True
    max_ttl_seconds: int = 86_400
    max_active_deadline_seconds: int = 2_592_000
    max_start_deadline_seconds: int = 604_800
    max_break_glass_seconds: int = 900
    max_approval_seconds: int = 604_800
    watch_namespaces: tuple[str, ...] = ()
    workload_kinds: tuple[OwnerKind, ...] = (JOB,)

    def __post_init__(self) -> None:
        for name in (self.operator_namespace, self.operator_service_account, *self.watch_namespaces):
            if _NAME.fullmatch(name) is None:
                raise AdmissionSettingsError(
                    f"{name!r} is no namespace or service account: lower case letters, digits, '-' and '.'"
                )
        for limit in _LIMITS:
            if getattr(self, limit) < 1:
                raise AdmissionSettingsError(f"{limit} must be at least 1, not {getattr(self, limit)}")

    @property
    def operator_username(self) -> str:
        """The operator's user name, as the API server authenticates it."""
        return f"system:serviceaccount:{self.operator_namespace}:{self.operator_service_account}"
