"""Names that other objects, people and admission rules rely on: group, labels, Secret names, file names."""

from typing import Final

GROUP: Final = "agentid.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "agentid"

TASK_LABEL: Final = "agentid.dev/task"
"""On a pod: the name of the AgentTask, in the same namespace, that the pod works for."""

TEMPLATE_LABEL: Final = "agentid.dev/template"
"""On a Job's pod: the name of the AgentTaskTemplate, in the same namespace, that its task is made from."""

TASK_UID_LABEL: Final = "agentid.dev/task-uid"
"""On a credential Secret: the UID of the one AgentTask it belongs to."""

REQUIRE_POLICY_LABEL: Final = "agentid.dev/require-policy"
"""On a namespace, with any value: without an AgentPolicy of its own nothing is issued in it."""

MAX_ACTIVE_TASKS_LABEL: Final = "agentid.dev/max-active-tasks"
"""On a namespace: how many of its tasks may be active at once, in place of what the installation says."""

TRACEPARENT_ANNOTATION: Final = "agentid.dev/traceparent"
"""On an AgentTask: the span of whoever applies it (W3C Trace Context), which the task's own come under.

It is whatever was written there: nothing but traces depends on it.
"""

SECRET_PREFIX: Final = "agentid-"  # noqa: S105 - a prefix of names, not a password
"""Secret names with this prefix are reserved for the operator in every namespace."""

AUTHORITY_SECRET: Final = "x509-authority"  # noqa: S105 - a name, not a password
"""In the operator's namespace: keys and certificates of the CA. Outside the reserved prefix on purpose."""

LEDGER_KEY_SECRET: Final = "ledger-key"  # noqa: S105 - a name, not a password
"""In the operator's namespace: the key that signs the ledger, which is not the CA's. Loaded by name too."""

OWN_SECRETS: Final = (AUTHORITY_SECRET, LEDGER_KEY_SECRET)
"""What the operator may read of Secrets in its namespace, beside the sources of static secrets."""

CRL_CONFIG_MAP: Final = "agentid-crl"
"""In the operator's namespace: the CRL of the authority that signs."""

PREVIOUS_CRL_CONFIG_MAP: Final = "agentid-crl-previous"
"""In the operator's namespace: the CRL of the intermediate before it, while what that signed may live."""

CRL_PART_CONFIG_MAPS: Final = tuple(f"agentid-crl-part-{number}" for number in range(28))
"""In the operator's namespace: parts of a CRL that is too large for one ConfigMap.

Twice as many as one has at the most, so that those of the next one never take the place of those that count.
"""

SINKS_CONFIG_MAP: Final = "agentid-sinks"
"""In the operator's namespace: up to which batch of the ledger each sink has the record."""

OPERATOR_LEASE: Final = "agentid-operator"
"""In the operator's namespace: the Lease of the active operator. The chart's Role names it."""

HEARTBEAT: Final = "agentid-heartbeat"
"""Name of the AgentTask that the operator touches again and again, which shows how old a view of them is.

It is no task: admission keeps the name for the operator, and nobody looks at it as one.
"""

CREDENTIAL_FOLDER: Final = "/var/run/secrets/agentid.dev"
"""Where a labelled pod finds its credential (SPIFFE filesystem draft: SPIFFE_CREDENTIAL_FOLDER)."""

CREDENTIAL_VOLUME: Final = "agentid-credential"
"""The name of the volume that admission adds to a labelled pod."""

FIELD_MANAGER: Final = "agentid"
REPORTING_CONTROLLER: Final = "agentid.dev/operator"


def secret_name(task_name: str) -> str:
    """Return the reserved name of the Secret that holds the credential of the task `task_name`."""
    return f"{SECRET_PREFIX}{task_name}"


def is_the_operators_own(name: str) -> bool:
    """Whether a Secret of that name in the operator's namespace is its own, and nobody's source."""
    return name in OWN_SECRETS or name.startswith(SECRET_PREFIX)
