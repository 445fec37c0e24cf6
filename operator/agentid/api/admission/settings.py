"""What the admission rules depend on: who the operator is, and what the cluster allows at most."""

import re
from dataclasses import dataclass
from typing import Final

from agentid.api.errors import AdmissionSettingsError

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


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

    Raises:
        AdmissionSettingsError: a value would change the meaning of a rule.
    """

    operator_namespace: str
    operator_service_account: str
    mutating: bool = True
    max_ttl_seconds: int = 86_400
    max_active_deadline_seconds: int = 2_592_000
    max_start_deadline_seconds: int = 604_800

    def __post_init__(self) -> None:
        for name in (self.operator_namespace, self.operator_service_account):
            if _NAME.fullmatch(name) is None:
                raise AdmissionSettingsError(
                    f"{name!r} is no namespace or service account: lower case letters, digits, '-' and '.'"
                )
        for limit in ("max_ttl_seconds", "max_active_deadline_seconds", "max_start_deadline_seconds"):
            if getattr(self, limit) < 1:
                raise AdmissionSettingsError(f"{limit} must be at least 1, not {getattr(self, limit)}")

    @property
    def operator_username(self) -> str:
        """The operator's user name, as the API server authenticates it."""
        return f"system:serviceaccount:{self.operator_namespace}:{self.operator_service_account}"
