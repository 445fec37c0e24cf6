"""What the doctor makes of the operator's pods, and of the settings in them."""

from typing import Any

import pytest

from agentid.doctor import pods
from agentid.doctor.finding import Standing
from tests.unit.doctor_installation import SETTINGS


def operator_pod(name: str, *, ready: bool, image: str = "agentid:1", **env: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "agentid",
            "containers": [
                {
                    "name": "operator",
                    "image": image,
                    "args": ["operator"],
                    "env": [{"name": name, "value": value} for name, value in env.items()],
                }
            ],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


READY, UNREADY = operator_pod("a", ready=True), operator_pod("b", ready=False)


@pytest.mark.parametrize(
    ("found", "standing", "told"),
    [
        ([READY], "OK", "1 of 1 pods are ready, with image agentid:1"),
        ([READY, UNREADY], "Warning", "1 of 2"),
        ([READY, operator_pod("c", ready=True, image="agentid:2")], "Warning", "agentid:1, agentid:2"),
        ([UNREADY], "Problem", "0 of 1"),
        ([], "Warning", "No pod runs the operator"),
        ([{**READY, "status": {"phase": "Succeeded"}}], "Warning", "No pod runs the operator"),
    ],
)
def test_how_the_operators_pods_stand(found: list[dict[str, Any]], standing: str, told: str) -> None:
    first = pods.judge_pods(found, SETTINGS)[0]

    assert first.standing == standing
    assert told in first.sentence


def test_an_operator_that_expects_other_rules_is_told() -> None:
    agreeing = operator_pod("a", ready=True, AGENTID_MAX_TTL_SECONDS="86400", AGENTID_WATCH_NAMESPACES="[]")
    differing = operator_pod("a", ready=True, AGENTID_MAX_TTL_SECONDS="600")
    kinds = '[{"apiVersion": "batch/v1", "kind": "Job", "resource": "jobs"}%s]'
    more = ', {"apiVersion": "apps/v1", "kind": "Deployment", "resource": "deployments"}'

    assert pods.judge_pods([agreeing], SETTINGS)[1].standing is Standing.OK
    same_kinds = operator_pod("a", ready=True, AGENTID_WORKLOAD_KINDS=kinds % "")
    other_kinds = operator_pod("a", ready=True, AGENTID_WORKLOAD_KINDS=kinds % more)
    assert pods.judge_pods([same_kinds], SETTINGS)[1].standing is Standing.OK
    assert pods.judge_pods([other_kinds], SETTINGS)[1].standing is Standing.PROBLEM
    told = pods.judge_pods([differing], SETTINGS)[1]
    assert told.standing is Standing.PROBLEM
    assert "AGENTID_MAX_TTL_SECONDS is '600', the rules say '86400'" in told.sentence
