"""The admission objects as they have to be installed, and what is wrong with those that are.

The files in `policies/` are the one source. The chart's templates are made from them (`chart`), and the
operator renders them (`rules`) to compare what the API server has with what it should have, exactly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import yaml

from agentid.api.admission.settings import AdmissionSettings

API_VERSION: Final = "admissionregistration.k8s.io/v1"

# The source files in policies/ by when they are installed: everywhere, where the API server has
# MutatingAdmissionPolicy, and where it has not.
ALWAYS: Final = (
    "task-delegation",
    "task-template",
    "template-delegation",
    "task-parent",
    "task-break-glass",
    "task-resume",
    "task-limits",
    "task-status",
    "task-deletion",
    "task-heartbeat",
    "approval-rights",
    "operator-tasks",
    "operator-secrets",
    "reserved-secrets",
    "secret-references",
    "static-secrets",
    "ledger-batches",
    "decision-checkpoints",
    "pod-label",
    "pod-owner",
    "pod-template",
    "watched-namespaces",
    "kopf-annotations",
)
STAMPED: Final = (
    "mutate-task-stamp",
    "task-stamp",
    "mutate-template-stamp",
    "template-stamp",
    "mutate-approval-stamp",
    "approval-stamp",
    "mutate-pod-credential",
)
TYPED: Final = ("task-stamp-typed", "template-stamp-typed", "approval-stamp-typed")

_PLURALS: Final = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
}


@dataclass(frozen=True, slots=True)
class AdmissionObject:
    """A policy or a binding, all defaults of the API server written out.

    Attributes:
        kind: ValidatingAdmissionPolicy, MutatingAdmissionPolicy, or the binding of one.
        name: Its fixed name: there is one installation in a cluster.
        spec: Exactly what the API server answers as `spec` when the rule is in force as installed.
    """

    kind: str
    name: str
    spec: Mapping[str, Any]

    @property
    def api_version(self) -> str:
        """API version of the object."""
        return API_VERSION

    @property
    def plural(self) -> str:
        """Resource name in the path of a request."""
        return _PLURALS[self.kind]

    @property
    def manifest(self) -> dict[str, Any]:
        """The object as it can be applied."""
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name},
            "spec": self.spec,
        }


def rule_names() -> tuple[str, ...]:
    """Return the name of each rule, whether it is installed where the API server stamps or where it can't."""
    return (*STAMPED, *TYPED, *ALWAYS)


def rules(settings: AdmissionSettings) -> tuple[AdmissionObject, ...]:
    """Return every policy and binding that must be in force, each policy followed by its binding."""
    values = {
        "@OPERATOR@": settings.operator_username,
        "@OPERATOR_NAMESPACE@": settings.operator_namespace,
        "@MAX_TTL_SECONDS@": str(settings.max_ttl_seconds),
        "@MAX_ACTIVE_DEADLINE_SECONDS@": str(settings.max_active_deadline_seconds),
        "@MAX_START_DEADLINE_SECONDS@": str(settings.max_start_deadline_seconds),
        "@MAX_BREAK_GLASS_SECONDS@": str(settings.max_break_glass_seconds),
        "@MAX_APPROVAL_SECONDS@": str(settings.max_approval_seconds),
        "@WATCHED_NAMESPACES@": _cel_list(f"'{namespace}'" for namespace in settings.watch_namespaces),
        "@WORKLOAD_KINDS@": _cel_list(
            f"{{'group': '{kind.group}', 'kind': '{kind.kind}', 'resource': '{kind.resource}'}}"
            for kind in settings.workload_kinds
        ),
    }
    sources = (*(STAMPED if settings.mutating else TYPED), *ALWAYS)
    return tuple(each for source in sources for each in policy_and_binding(source, values))


def differences(expected: AdmissionObject, found: Mapping[str, Any] | None) -> str | None:
    """Return what is wrong with a rule as the API server has it, or None when it is in force as installed.

    Args:
        expected: The rule as it should be.
        found: The object of that kind and name as read from the API server; None when there is none.
    """
    title = f"{expected.kind} {expected.name}"
    if found is None:
        return f"{title} is missing; install the chart again"
    metadata = found.get("metadata")
    if not isinstance(metadata, Mapping) or metadata.get("name") != expected.name:
        return f"{title} was asked for and another object answered"
    if metadata.get("deletionTimestamp") is not None:
        return f"{title} is being deleted; install the chart again"
    spec = found.get("spec")
    if not isinstance(spec, Mapping):
        return f"{title} has no spec; install the chart again"
    changed = sorted(
        key
        for key in {*expected.spec, *spec}
        if key not in spec or key not in expected.spec or not _same(spec[key], expected.spec[key])
    )
    if changed:
        return (
            f"{title} is not as installed, {', '.join(changed)} of its spec differ; install the chart again"
        )
    return None


def _same(found: object, expected: object) -> bool:
    """Compare JSON values; True is not 1 here, as it is in Python."""
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_same, found, expected))
    return type(found) is type(expected) and found == expected


def policy_and_binding(source: str, values: Mapping[str, str]) -> tuple[AdmissionObject, AdmissionObject]:
    """Return the policy in a source file, its placeholders replaced by `values`, and its binding."""
    text = (files("agentid.api.admission") / "policies" / f"{source}.yaml").read_text(encoding="utf-8")
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    written = yaml.safe_load(text)
    kind, name = written["kind"], written["metadata"]["name"]
    # A denial is the whole point: no other action, and nothing that a binding could narrow.
    actions = {"validationActions": ["Deny"]} if kind == "ValidatingAdmissionPolicy" else {}
    return (
        AdmissionObject(kind, name, _with_defaults(written["spec"])),
        AdmissionObject(f"{kind}Binding", name, {"policyName": name, **actions}),
    )


def _cel_list(items: Iterable[str]) -> str:
    """Return a list of CEL; the order in which an installation names its items says nothing."""
    return f"[{', '.join(sorted(set(items)))}]"


def _with_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Write out what the API server fills in, so that what is read back is what was written."""
    constraints = spec["matchConstraints"]
    return {
        **spec,
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
            **constraints,
            "resourceRules": [{"scope": "*", **rule} for rule in constraints["resourceRules"]],
        },
    }
