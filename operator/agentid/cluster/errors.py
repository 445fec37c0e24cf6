"""What the API server answered, translated once.

AgentidError
└── ClusterError
    ├── ConfigurationError            no usable kubeconfig, service account token or CA file
    ├── OwnSecretError                a Secret of the operator's own cannot be used
    │   ├── AuthorityStoreError           the certificate authority's
    │   └── LedgerKeyStoreError           the ledger key's
    ├── UnusableSourceError           a static secret's source holds nothing that may be copied
    ├── ClockError                    this machine's clock is not known to agree with the API server's
    └── ApiAnswerError                the API server's own refusal, with its code and reason
        ├── NotFoundError             404
        ├── ConflictError             409 on an update or a delete: not the version or UID it was meant for
        ├── AlreadyExistsError        409 on a create: the name is taken
        ├── ForbiddenError            403: RBAC or admission
        │   ├── AdmissionRefusedError       a validating admission policy said no, with its name and any code
        │   └── NamespaceTerminatingError   nothing can be written there any more; 404 once it is gone
        ├── InvalidError              400 or 422: not acceptable as it is
        │   └── FixedFieldError             what was to be changed never can be
        ├── GoneError                 410: the resourceVersion of a watch or list is too old
        └── PassingError              may work later; what was asked may nevertheless have been done
            ├── TooManyRequestsError  429, with the pause that was asked for; it was not done
            ├── ServerError           5xx
            └── ConnectionLostError   no answer: refused, cut or timed out
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from agentid.errors import AgentidError

_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_INVALID: Final = 422
_SHOWN_CHARACTERS: Final = 400
_POLICY: Final = re.compile(r"ValidatingAdmissionPolicy '([^']+)'")


class ClusterError(AgentidError):
    """Something about the cluster or the way to it."""


class ConfigurationError(ClusterError):
    """There is no usable way to an API server; the text says what is missing."""


class OwnSecretError(ClusterError):
    """A Secret of the operator's own cannot be used; the text says why."""


class AuthorityStoreError(OwnSecretError):
    """The certificate authority's Secret cannot be used; the text says why."""


class LedgerKeyStoreError(OwnSecretError):
    """The ledger key's Secret cannot be used; the text says why."""


class UnusableSourceError(ClusterError):
    """The source of a static secret holds nothing that may be copied; the text says why, without names."""


class ClockError(ClusterError):
    """This machine's clock and the API server's are not known to agree; nothing that lasts is made then."""


class ApiAnswerError(ClusterError):
    """The API server did not do what was asked; `status` is the `Status` object that it sent, if it did."""

    status: Mapping[str, Any] = MappingProxyType({})


class NotFoundError(ApiAnswerError):
    """The object, its kind or its namespace is not there."""


class ConflictError(ApiAnswerError):
    """The object is no longer the one, or in the version, that the request was meant for."""


class AlreadyExistsError(ApiAnswerError):
    """An object of that name exists."""


class ForbiddenError(ApiAnswerError):
    """RBAC or admission refused it."""


class AdmissionRefusedError(ForbiddenError):
    """The validating admission policy `policy` refused it; the code is what that policy's author chose."""

    def __init__(self, message: str, policy: str) -> None:
        super().__init__(message)
        self.policy = policy


class NamespaceTerminatingError(ForbiddenError):
    """The namespace is being deleted, or is gone while objects in it remain; nothing can be written in it."""


class InvalidError(ApiAnswerError):
    """The request is not acceptable as it is; trying again as it is won't help."""


class FixedFieldError(InvalidError):
    """It would change only what can never be changed in the object that is there, such as its type."""


class GoneError(ApiAnswerError):
    """The version to go on from is too old; list again."""


class PassingError(ApiAnswerError):
    """It may work later. Whether it was done is not known, except where a subclass says so."""


class TooManyRequestsError(PassingError):
    """The API server is busy and did not do it."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ServerError(PassingError):
    """The API server failed."""


class ConnectionLostError(PassingError):
    """No answer came."""


_BY_STATUS: Final[Mapping[int, type[ApiAnswerError]]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
}


def translate(status: int, body: dict[str, Any], what: str, retry_after: str | None = None) -> ApiAnswerError:
    """Return the error for an answer of the API server.

    Args:
        status: The HTTP status code, 400 or above.
        body: The `Status` object that came with it; empty if it was none.
        what: What was asked, such as `PUT /api/v1/…`.
        retry_after: The header of that name.
    """
    reason = str(body.get("reason") or "")
    message = str(body.get("message") or "no message")[:_SHOWN_CHARACTERS]
    text = f"{what}: {status} {reason}: {message}"
    error: ApiAnswerError
    if status == _TOO_MANY_REQUESTS:
        error = TooManyRequestsError(text, _seconds(retry_after))
    elif status == _CONFLICT and reason == "AlreadyExists":
        error = AlreadyExistsError(text)
    elif (status == _FORBIDDEN and _terminating(body)) or (status == _NOT_FOUND and _namespace_gone(body)):
        error = NamespaceTerminatingError(text)
    elif status < _SERVER_ERROR and (policy := _POLICY.search(message)) is not None:
        error = AdmissionRefusedError(text, policy[1])
    elif status == _INVALID and _only_fixed_fields(body):
        error = FixedFieldError(text)
    else:
        error = _BY_STATUS.get(status, ServerError if status >= _SERVER_ERROR else PassingError)(text)
    error.status = body
    return error


def _terminating(body: dict[str, Any]) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(body))


def _only_fixed_fields(body: dict[str, Any]) -> bool:
    # A webhook may answer anything at all; its name then stands before it.
    causes = _causes(body)
    by_webhook = str(body.get("message")).startswith("admission webhook")
    fixed = ["field is immutable" in str(cause.get("message")) for cause in causes]
    return not by_webhook and bool(fixed) and all(fixed)


def _causes(body: dict[str, Any]) -> list[dict[str, Any]]:
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return [each for each in causes if isinstance(each, dict)] if isinstance(causes, list) else []


def _namespace_gone(body: dict[str, Any]) -> bool:
    # What was asked for may well be there: admission looked for its namespace.
    details = body.get("details")
    return isinstance(details, dict) and details.get("kind") == "namespaces"


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else 1.0
