"""Whether decision points, where any run, are ready, and the operator shows them that it lives."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from agentid.api.admission import AdmissionSettings
from agentid.api.names import HEARTBEAT
from agentid.cluster.connection import Body
from agentid.cluster.paths import PODS, TASKS
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look
from agentid.doctor.pods import is_ready
from agentid.watched.facts import mapping, moment

CHECK: Final = "decision points"
HEARTBEAT_CHECK: Final = "heartbeat"
MOST_AGE: Final = timedelta(seconds=10)
"""Decision points deny before, at 5 s by default; what the answer took and the clocks' seconds are in it."""
_OVER: Final = ("Succeeded", "Failed")


async def look_at_gates(look: Look, namespace: str, settings: AdmissionSettings) -> list[Finding]:
    """Look at the decision points in the operator's namespace and at the heartbeats that they go by.

    Where none runs there, nothing is said.
    """
    gates = [each async for each in look.objects(PODS, namespace) if _is_gate(each)]
    if not gates:
        return []
    beats = {}
    for where in settings.watch_namespaces or (namespace,):
        found = await look.find(TASKS, where, HEARTBEAT)
        beats[where] = moment(mapping((found or {}).get("status")).get("heartbeatTime"))
    return [
        judge_gates(gates, namespace),
        judge_heartbeats(beats, await look.connection.server_date(), namespace),
    ]


def judge_gates(gates: Sequence[Body], namespace: str) -> Finding:
    """Say how many of the decision points are ready."""
    waiting = ", ".join(sorted(each["metadata"]["name"] for each in gates if not is_ready(each)))
    told = f"{sum(map(is_ready, gates))} of {len(gates)} decision points are ready."
    remedy = (
        f"/readyz of {waiting} says why: kubectl get --raw "
        f"/api/v1/namespaces/{namespace}/pods/POD:8080/proxy/readyz"
    )
    if not any(map(is_ready, gates)):
        return problem(CHECK, told, remedy)
    return warning(CHECK, told, remedy) if waiting else well(CHECK, told)


def judge_heartbeats(beats: Mapping[str, datetime | None], now: datetime, namespace: str) -> Finding:
    """Say whether the operator shows in each namespace of `beats` that it lives, by the API server's time."""
    missing = sorted(where for where, at in beats.items() if at is None)
    old = {where: now - at for where, at in beats.items() if at is not None and now - at > MOST_AGE}
    if missing:
        return problem(
            HEARTBEAT_CHECK,
            f"There is no heartbeat of the operator in namespace {', '.join(missing)}, so decision points "
            "deny everything there.",
            "Set AGENTID_HEARTBEAT of the operator, which gate.enabled of the chart does; its log says "
            "`heartbeat not written` where it cannot.",
        )
    if old:
        where, age = max(old.items(), key=lambda each: each[1])
        return problem(
            HEARTBEAT_CHECK,
            f"The last heartbeat of the operator in namespace {where} is {age.total_seconds():.0f} s old, so "
            "decision points deny.",
            "See that an operator leads (lease), that AGENTID_HEARTBEAT is set for it, and what its log "
            f"says: kubectl get pods -n {namespace}.",
        )
    return well(HEARTBEAT_CHECK, "The operator shows decision points that it lives.")


def _is_gate(pod: Body) -> bool:
    containers: Sequence[Mapping[str, object]] = pod["spec"].get("containers") or []
    is_over = mapping(pod.get("status")).get("phase") in _OVER
    return not is_over and any(_runs_gate(each) for each in containers)


def _runs_gate(container: Mapping[str, object]) -> bool:
    arguments = container.get("args")
    return isinstance(arguments, list) and arguments[:1] == ["gate"]
