"""Whether RBAC gives the operator what it needs, nothing beyond, and everybody nothing of it."""

from collections.abc import Iterator, Mapping
from typing import Final

from agentid.api.admission import AdmissionSettings
from agentid.api.names import (
    CRL_CONFIG_MAP,
    CRL_PART_CONFIG_MAPS,
    GROUP,
    OPERATOR_LEASE,
    OWN_SECRETS,
    PREVIOUS_CRL_CONFIG_MAP,
    SINKS_CONFIG_MAP,
)
from agentid.doctor.finding import Finding, problem, well
from agentid.doctor.look import Look, Right, Subject

CHECK: Final = "operator's rights"
EVERYBODY_CHECK: Final = "everybody's rights"
EVERYBODY: Final = Subject("agentid.dev:doctor:anybody", ("system:authenticated", "system:unauthenticated"))

_ADMISSION: Final = "admissionregistration.k8s.io"
_RULE_KINDS: Final = (
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
)
_SEEN: Final = ("get", "list", "watch")
_READ_KINDS: Final = ("agents", "agentpolicies", "agentapprovals")
_SPECIAL: Final = ("approve", "breakglass", "delegate", "resume")
_WRITTEN: Final = ("create", "update", "patch", "delete")
# Get is enough: a websocket begins with it.
_INTO_PODS: Final = ("exec", "attach", "portforward", "proxy")
_RUNS_PODS: Final = (
    ("batch", "jobs"),
    ("batch", "cronjobs"),
    ("apps", "deployments"),
    ("apps", "daemonsets"),
    ("apps", "statefulsets"),
    ("apps", "replicasets"),
)
_REWRITES: Final = ("update", "patch", "deletecollection")
_LEDGER: Final = ("create", "get", "list", "delete")
_SHOWN: Final = 6


def subject_of(settings: AdmissionSettings) -> Subject:
    """Return the operator's account as the API server authenticates it."""
    namespace = settings.operator_namespace
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return Subject(settings.operator_username, groups)


def needed(settings: AdmissionSettings) -> tuple[Right, ...]:
    """Return what the operator cannot do without, as the chart gives it."""
    return tuple(_needed(settings))


def _needed(settings: AdmissionSettings) -> Iterator[Right]:
    own = settings.operator_namespace
    for namespace in settings.watch_namespaces or ("",):
        yield from (Right(verb, "agenttasks", GROUP, namespace) for verb in (*_SEEN, "create", "delete"))
        yield Right("get", "agenttasktemplates", GROUP, namespace)
        yield Right("patch", "agenttasks/status", GROUP, namespace)
        yield from (Right(verb, kind, GROUP, namespace) for kind in _READ_KINDS for verb in _SEEN)
        yield from (
            Right("patch", f"{kind}/status", GROUP, namespace) for kind in ("agents", "agentpolicies")
        )
        yield from (Right(verb, "pods", "", namespace) for verb in _SEEN)
        yield Right("create", "events", "events.k8s.io", namespace)
        yield from (
            Right(verb, kind.resource, kind.group, namespace)
            for kind in settings.workload_kinds
            for verb in _SEEN
        )
        yield from (Right(verb, "secrets", "", namespace) for verb in ("create", "update", "delete"))
    yield from (Right(verb, "clusteragentpolicies", GROUP) for verb in _SEEN)
    yield Right("patch", "clusteragentpolicies/status", GROUP)
    yield from (
        Right(verb, "namespaces", name=name)
        for name in settings.watch_namespaces or ("",)
        for verb in ("list", "watch")
    )
    kinds = _RULE_KINDS if settings.mutating else _RULE_KINDS[:2]
    yield from (Right("get", kind, _ADMISSION) for kind in kinds)
    yield Right("create", "secrets", "", own)
    yield from (Right(verb, "secrets", "", own, name) for name in OWN_SECRETS for verb in ("get", "update"))
    yield from (Right(verb, "ledgerbatches", GROUP, own) for verb in _LEDGER)
    yield from (Right(verb, "decisioncheckpoints", GROUP, own) for verb in ("delete", "list"))
    yield Right("create", "configmaps", "", own)
    yield from (
        Right(verb, "configmaps", "", own, name)
        for name in (CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP, SINKS_CONFIG_MAP)
        for verb in ("get", "update")
    )
    yield from (
        Right(verb, "configmaps", "", own, name)
        for name in CRL_PART_CONFIG_MAPS
        for verb in ("get", "update", "delete")
    )
    yield Right("create", "agenttasks", GROUP, own)
    yield from (Right(verb, "agentsecrets", GROUP, own) for verb in _SEEN)
    yield Right("create", "leases", "coordination.k8s.io", own)
    yield from (
        Right(verb, "leases", "coordination.k8s.io", own, OPERATOR_LEASE) for verb in ("get", "update")
    )


def too_much(settings: AdmissionSettings) -> tuple[Right, ...]:
    """Return what the operator must not be able to do: read Secrets, run things, give itself more."""
    return tuple(dict.fromkeys(_too_much(settings)))


def _too_much(settings: AdmissionSettings) -> Iterator[Right]:
    own = settings.operator_namespace
    for namespace in (*(settings.watch_namespaces or ("",)), own):
        secret_verbs = ("get", "list", "watch", "patch", "deletecollection")
        yield from (Right(verb, "secrets", "", namespace) for verb in secret_verbs)
        yield from (Right(verb, "agenttasks", GROUP, namespace) for verb in ("update", "patch", *_SPECIAL))
        yield from (Right(verb, kind, GROUP, namespace) for kind in _READ_KINDS for verb in _WRITTEN)
        yield from (
            Right(verb, kind, GROUP, namespace)
            for kind in ("agenttasktemplates", "agentsecrets")
            for verb in _WRITTEN
        )
        yield from (Right(verb, "ledgerbatches", GROUP, namespace) for verb in _REWRITES)
        yield Right("create", "decisioncheckpoints", GROUP, namespace)
        yield Right("delegate", "delegators", GROUP, namespace)
        yield from (Right(verb, "pods", "", namespace) for verb in _WRITTEN)
        yield from (
            Right(verb, f"pods/{part}", "", namespace) for part in _INTO_PODS for verb in ("get", "create")
        )
        yield from (Right("create", kind, group, namespace) for group, kind in _RUNS_PODS)
        yield Right("update", "pods/ephemeralcontainers", "", namespace)
        yield Right("create", "serviceaccounts/token", "", namespace)
        yield Right("impersonate", "serviceaccounts", "", namespace)
        yield Right("create", "rolebindings", "rbac.authorization.k8s.io", namespace)
    if settings.watch_namespaces:
        yield from (Right(verb, "secrets") for verb in ("get", "list", "create", "update", "delete"))
        yield from (Right(verb, "pods") for verb in _SEEN)
    yield from _of_administrators()


def _of_administrators() -> Iterator[Right]:
    yield from (Right(verb, "clusteragentpolicies", GROUP) for verb in _WRITTEN)
    yield from (Right(verb, kind, _ADMISSION) for kind in _RULE_KINDS for verb in _WRITTEN)
    rbac = "rbac.authorization.k8s.io"
    yield from (Right(verb, "clusterroles", rbac) for verb in ("bind", "escalate", "update"))
    yield Right("create", "clusterrolebindings", rbac)
    yield from (Right("impersonate", kind) for kind in ("users", "groups"))
    yield Right("update", "customresourcedefinitions", "apiextensions.k8s.io")
    yield Right("get", "nodes/proxy")


def closed_to_everybody(settings: AdmissionSettings) -> tuple[Right, ...]:
    """Return what no group that everybody is in may have."""
    own = settings.operator_namespace
    return (
        *(Right(verb, "secrets", "", own, name) for name in OWN_SECRETS for verb in ("get", "delete")),
        *(Right(verb, "ledgerbatches", GROUP, own) for verb in _LEDGER),
        Right("update", "leases", "coordination.k8s.io", own, OPERATOR_LEASE),
        Right("create", "serviceaccounts/token", "", own, settings.operator_service_account),
        Right("create", "pods", "", own),
        Right("patch", "agenttasks/status", GROUP),
        *(Right(verb, "agenttasks", GROUP) for verb in _SPECIAL),
        Right("delegate", "delegators", GROUP),
        *(Right("patch", f"{kind}/status", GROUP) for kind in ("agentpolicies", "clusteragentpolicies")),
        *(Right(verb, kind, GROUP) for kind in _READ_KINDS for verb in _WRITTEN),
        *(Right(verb, "agentsecrets", GROUP, own) for verb in _WRITTEN),
        *_of_administrators(),
    )


async def look_at_rights(look: Look, settings: AdmissionSettings) -> list[Finding]:
    """Ask for all of it, and judge the answers."""
    operator = subject_of(settings)
    return [
        *judge_operator(
            await look.may(operator, needed(settings)), await look.may(operator, too_much(settings)), settings
        ),
        *judge_everybody(await look.may(EVERYBODY, closed_to_everybody(settings))),
    ]


def judge_operator(
    has: Mapping[Right, bool], has_beyond: Mapping[Right, bool], settings: AdmissionSettings
) -> list[Finding]:
    """Say what is missing of `has`, and what there is of `has_beyond`."""
    who, findings = settings.operator_username, []
    if missing := [right for right, allowed in has.items() if not allowed]:
        said = f"{who} may not do what it has to: {_listed(missing)}."
        findings.append(problem(CHECK, said, "Install the chart again; its Roles and bindings give these."))
    if beyond := [right for right, allowed in has_beyond.items() if allowed]:
        said = f"{who} may do more than the chart gives it: {_listed(beyond)}."
        remedy = (
            "Find the binding that gives it (kubectl get clusterrolebindings,rolebindings -A -o "
            "wide) and remove it."
        )
        findings.append(problem(CHECK, said, remedy))
    said = (
        f"{who} has the {len(has)} rights that it needs, and none of the {len(has_beyond)} that would "
        "be too much."
    )
    return findings or [well(CHECK, said)]


def judge_everybody(has: Mapping[Right, bool]) -> list[Finding]:
    """Say what everybody may do, authenticated or not, that only an administrator should."""
    if open_to_all := [right for right, allowed in has.items() if allowed]:
        said = f"Everybody may: {_listed(open_to_all)}."
        remedy = (
            "Remove the binding to system:authenticated or system:unauthenticated that gives it; it undoes "
            "what agentid stands on."
        )
        return [problem(EVERYBODY_CHECK, said, remedy)]
    return [
        well(
            EVERYBODY_CHECK,
            "No right on rules, authority, ledger, Agents, policies or status is everybody's.",
        )
    ]


def _listed(rights: list[Right]) -> str:
    shown = ", ".join(str(right) for right in rights[:_SHOWN])
    return shown + (f" and {len(rights) - _SHOWN} more" if len(rights) > _SHOWN else "")
