"""Names that other objects, people and admission rules rely on: group, labels, Secret names, file names."""

from typing import Final

GROUP: Final = "agentid.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "agentid"

TASK_LABEL: Final = "agentid.dev/task"
"""On a pod: the name of the AgentTask, in the same namespace, that the pod works for."""

TASK_UID_LABEL: Final = "agentid.dev/task-uid"
"""On a credential Secret: the UID of the one AgentTask it belongs to."""

REQUIRE_POLICY_LABEL: Final = "agentid.dev/require-policy"
"""On a namespace, with any value: without an AgentPolicy of its own nothing is issued in it."""

SECRET_PREFIX: Final = "agentid-"  # noqa: S105 - a prefix of names, not a password
"""Secret names with this prefix are reserved for the operator in every namespace."""

AUTHORITY_SECRET: Final = "x509-authority"  # noqa: S105 - a name, not a password
"""In the operator's namespace: keys and certificates of the CA. Outside the reserved prefix on purpose."""

OPERATOR_LEASE: Final = "agentid-operator"
"""In the operator's namespace: the Lease of the active operator. The chart's Role names it."""

CREDENTIAL_FOLDER: Final = "/var/run/secrets/agentid.dev"
"""Where a labelled pod finds its credential (SPIFFE filesystem draft: SPIFFE_CREDENTIAL_FOLDER)."""

CREDENTIAL_VOLUME: Final = "agentid-credential"
"""The name of the volume that admission adds to a labelled pod."""

FIELD_MANAGER: Final = "agentid"
REPORTING_CONTROLLER: Final = "agentid.dev/operator"


def secret_name(task_name: str) -> str:
    """Return the reserved name of the Secret that holds the credential of the task `task_name`."""
    return f"{SECRET_PREFIX}{task_name}"
