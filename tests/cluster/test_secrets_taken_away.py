"""A key goes even where its end cannot be written down at once, or not at all."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import AGENT, TASK, agent, service_account, task
from tests.cluster.test_restart_faults import until_tasks_are_served
from tests.cluster.unguarded import once_let, without

CRD = "agenttasks.agentid.dev"
TYPES = (
    "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/conditions/items/properties/type"
)
SLOWLY = timedelta(seconds=40)


def test_task_that_outlives_its_namespace_is_tried_less_and_less_often_and_ends_once_it_can(
    admin: Kubectl, node: str, operator: OperatorProcess
) -> None:
    assert node
    admin.create({"kind": "Namespace", "metadata": {"name": "outlived"}})
    here = admin.in_namespace("outlived")
    here.create([service_account(), agent(), task()])
    story.runs(here)
    without_its_namespace(admin, "outlived")
    here.delete("agent", AGENT)

    wait_until(
        "the pauses between passes grow",
        lambda: failed_passes(operator, "outlived"),
        lambda seen: any(each["retry_seconds"] > 1 for each in seen),
    )
    assert len(failed_passes(operator, "outlived")) < 8, "a pause after each"
    assert not any(
        each["event"] == "pass did not settle" and each.get("namespace") == "outlived"
        for each in operator.log_lines()
    )

    # Nothing can be written there, not even the Secret deleted, and then none of it is taken for done.
    admin.create({"kind": "Namespace", "metadata": {"name": "outlived"}})
    here.patch("agenttask", TASK, {"metadata": {"labels": {"tried": "again"}}})

    story.ends(here, "Revoked")
    story.secret_gone(here)
    admin.delete("namespace", "outlived", "--wait=false")


def without_its_namespace(admin: Kubectl, name: str) -> None:
    """Take a namespace away and leave what is in it, as people do to one that will not go."""
    admin.delete("namespace", name, "--wait=false")
    # It is emptied after five seconds. Whoever finalizes it before says that it is empty.
    going = admin.get("namespace", name)
    going["spec"]["finalizers"] = []
    path = f"/api/v1/namespaces/{name}/finalize"
    admin("replace", f"--raw={path}", "--filename=-", stdin=json.dumps(going))
    admin.wait_gone("namespace", name)


def failed_passes(operator: OperatorProcess, namespace: str) -> list[Object]:
    """What the operator logged of passes over a namespace's tasks that failed."""
    return [
        each
        for each in operator.log_lines()
        if each["event"] == "pass failed" and each.get("namespace") == namespace
    ]


@contextmanager
def newer_condition(admin: Kubectl, here: Kubectl) -> Iterator[Object]:
    """Have a CRD in force whose conditions may be of a type that this version does not know: `Paused`."""
    admin.patch(
        "crd", CRD, [{"op": "add", "path": f"{TYPES}/enum/-", "value": "Paused"}], kind_of_patch="json"
    )
    known = admin.get("crd", CRD)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    last = len(known["properties"]["conditions"]["items"]["properties"]["type"]["enum"]) - 1
    until_tasks_are_served(here)
    try:
        yield {
            "type": "Paused",
            "status": "True",
            "reason": "Newer",
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-05-31T14:00:00Z",
        }
    finally:
        admin.patch("crd", CRD, [{"op": "remove", "path": f"{TYPES}/enum/{last}"}], kind_of_patch="json")
        until_tasks_are_served(here)


def test_task_whose_status_a_newer_version_wrote_still_loses_its_key_when_it_is_ended(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess
) -> None:
    team.create(task())
    story.runs(team)
    with newer_condition(admin, team) as condition:
        add = [{"op": "add", "path": "/status/conditions/-", "value": condition}]
        with without(admin, "task-status.agentid.dev"):
            once_let(
                partial(team.patch, "agenttask", TASK, add, "--subresource=status", kind_of_patch="json")
            )
        left_alone = story.settled(team)
        assert team.find("secret", f"agentid-{TASK}") is not None

        team.patch("agenttask", TASK, {"spec": {"state": "Ended"}})

        story.secret_gone(team, within=SLOWLY)
        assert team.get("agenttask", TASK)["status"] == left_alone["status"], "nothing of it was lost"
        team.delete("agenttask", TASK)
    assert operator.alive()


def test_what_an_operator_wrote_after_it_was_replaced_is_found_and_taken_away(
    team: Kubectl, admin: Kubectl, operator: OperatorProcess
) -> None:
    waits = team.create(task(agentRef={"name": "nobody-yet"}))
    story.stands(team, "AwaitingAgent")
    as_operator = team.as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    data = {name: b64encode(b"late").decode() for name in ("tls.crt", "tls.key")}
    uid = waits["metadata"]["uid"]
    owner = {"apiVersion": waits["apiVersion"], "kind": "AgentTask", "name": TASK, "uid": uid}
    late = {
        "name": f"agentid-{TASK}",
        "labels": {"agentid.dev/task-uid": uid, "app.kubernetes.io/managed-by": "agentid"},
        "ownerReferences": [owner],
    }
    path = f"/api/v1/namespaces/{team.namespace}/secrets"
    manifest = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": late}
    as_operator("create", f"--raw={path}", "--filename=-", stdin=json.dumps({**manifest, "data": data}))
    now = datetime.now(UTC).replace(microsecond=0)
    credential = {
        "generation": 1,
        "serial": "1a7e",
        "notBefore": written(now),
        "notAfter": written(now + timedelta(minutes=5)),
    }

    with without(admin, "task-status.agentid.dev"):
        status = {"status": {"credentialGeneration": 1, "credentials": [credential]}}
        once_let(partial(team.patch, "agenttask", TASK, status, "--subresource=status"))

    story.secret_gone(team)
    assert story.serials(story.settled(team)) == []
    assert operator.alive()


def written(moment: datetime) -> str:
    """A time as a status holds it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_end_by_deletion_is_counted(team: Kubectl, operator: OperatorProcess) -> None:
    team.create(task())
    story.runs(team)
    before = operator.metric("agentid_tasks_ended_total", reason="Deleted")

    team.delete("agenttask", TASK)

    story.secret_gone(team)
    wait_until(
        "the end is counted",
        lambda: operator.metric("agentid_tasks_ended_total", reason="Deleted"),
        lambda seen: seen > before,
        within=story.PROMPTLY,
    )
