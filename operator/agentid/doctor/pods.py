"""Whether the operator's pods are ready, and run with what the admission rules were installed for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agentid.api.admission import AdmissionSettings, OwnerKind
from agentid.cluster.connection import Body
from agentid.cluster.paths import PODS, group_of
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look

CHECK: Final = "operator's pods"
SETTINGS_CHECK: Final = "operator's settings"
_OVER: Final = ("Succeeded", "Failed")
_UPGRADE: Final = (
    "Install the chart again with one set of values; the operator issues nothing while they differ."
)


async def look_at_pods(look: Look, settings: AdmissionSettings) -> list[Finding]:
    """List the pods that run as the operator's account, and judge them."""
    pods = [each async for each in look.objects(PODS, settings.operator_namespace)]
    return judge_pods(pods, settings)


def judge_pods(pods: Sequence[Body], settings: AdmissionSettings) -> list[Finding]:
    """Say how many pods are ready, of which image, and whether their settings are those of the rules."""
    own = [
        pod
        for pod in pods
        if pod["spec"].get("serviceAccountName") == settings.operator_service_account
        and (pod.get("status") or {}).get("phase") not in _OVER
        and _container(pod) is not None
    ]
    if not own:
        said = f"No pod runs the operator as service account {settings.operator_username.partition(':')[2]}."
        remedy = (
            "Routine where it runs outside of the cluster, which the lease shows; otherwise look at "
            "its Deployment."
        )
        return [warning(CHECK, said, remedy)]
    ready = [pod for pod in own if is_ready(pod)]
    images = ", ".join(sorted({str((_container(pod) or {}).get("image")) for pod in own}))
    told = f"{len(ready)} of {len(own)} pods are ready, with image {images}."
    waiting = ", ".join(sorted(pod["metadata"]["name"] for pod in own if not is_ready(pod)))
    remedy = (
        f"/readyz of {waiting} says why: kubectl get --raw "
        f"/api/v1/namespaces/{settings.operator_namespace}/pods/POD:8080/proxy/readyz"
    )
    if not ready:
        finding = problem(CHECK, told, remedy)
    elif waiting or "," in images:
        finding = warning(
            CHECK,
            told,
            remedy if waiting else "Wait until the upgrade is through, or look at its Deployment.",
        )
    else:
        finding = well(CHECK, told)
    return [finding, *judge_settings([_environment(pod) for pod in own], settings)]


def judge_settings(environments: Sequence[Mapping[str, str]], settings: AdmissionSettings) -> list[Finding]:
    """Say where pods expect other rules than there are; what is not written there has its default."""
    expected = _written(settings)
    wrong = sorted(
        {
            f"{name} is {environment[name]!r}, the rules say {value!r}"
            for environment in environments
            for name, value in expected.items()
            if name in environment and _read(environment[name]) != _read(value)
        }
    )
    if wrong:
        return [problem(SETTINGS_CHECK, f"The operator expects other rules: {'; '.join(wrong)}.", _UPGRADE)]
    return [well(SETTINGS_CHECK, "What the operator was started with is what the rules were installed for.")]


def _written(settings: AdmissionSettings) -> dict[str, str]:
    return {
        "AGENTID_NAMESPACE": settings.operator_namespace,
        "AGENTID_SERVICE_ACCOUNT": settings.operator_service_account,
        "AGENTID_MAX_TTL_SECONDS": str(settings.max_ttl_seconds),
        "AGENTID_MAX_ACTIVE_DEADLINE_SECONDS": str(settings.max_active_deadline_seconds),
        "AGENTID_MAX_START_DEADLINE_SECONDS": str(settings.max_start_deadline_seconds),
        "AGENTID_MAX_BREAK_GLASS_SECONDS": str(settings.max_break_glass_seconds),
        "AGENTID_MAX_APPROVAL_SECONDS": str(settings.max_approval_seconds),
        "AGENTID_MUTATING_ADMISSION": "true" if settings.mutating else "false",
        "AGENTID_WATCH_NAMESPACES": json.dumps(list(settings.watch_namespaces)),
        "AGENTID_WORKLOAD_KINDS": json.dumps([_written_kind(kind) for kind in settings.workload_kinds]),
    }


def _written_kind(kind: OwnerKind) -> dict[str, str]:
    version = f"{kind.group}/v1" if kind.group else "v1"
    return {"apiVersion": version, "kind": kind.kind, "resource": kind.resource}


def _read(text: str) -> object:
    """Return a setting as it counts: neither the order of a list nor the version of a kind does."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return sorted(_read_item(item) for item in value) if isinstance(value, list) else value


def _read_item(item: object) -> str:
    if not isinstance(item, dict):
        return str(item)
    group = group_of(str(item.get("apiVersion")))
    return f"{group}/{item.get('kind')}/{item.get('resource')}"


def _container(pod: Body) -> Mapping[str, Any] | None:
    """Return the container that runs `agentid operator`; a pod of `helm test` has none."""
    containers: Sequence[Mapping[str, Any]] = pod["spec"].get("containers") or []
    return next(
        (each for each in containers if "operator" in [each.get("name"), *(each.get("args") or [])]), None
    )


def _environment(pod: Body) -> dict[str, str]:
    written = (_container(pod) or {}).get("env") or []
    return {each["name"]: str(each["value"]) for each in written if "value" in each}


def is_ready(pod: Body) -> bool:
    """Whether a pod is ready and stays."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    is_leaving = pod["metadata"].get("deletionTimestamp") is not None
    return not is_leaving and any(
        each.get("type") == "Ready" and each.get("status") == "True" for each in conditions
    )
