"""Decision points as users run them, in pods from the chart, and asked by a pod as an API would."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.gate_pod import HOST, TRUSTED, GatePod
from devcluster.gate_process import AUDIENCE
from devcluster.install import NAMESPACE
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_pod import OperatorPod
from devcluster.waiting import wait_until
from tests.cluster import deciding, story
from tests.cluster.objects import ACCOUNT
from tests.e2e import inside
from tests.e2e.objects import PYTHON, STAYS, container, pod, task_of_pod

ASKER, TASK = "asker", "refund-4711"
REPLICAS = 2
REPORTED = timedelta(seconds=150)
"""Decision points report each minute, and the operator takes it in."""
ASK = f"""
import json, ssl, sys, urllib.error, urllib.request
token = open("/gate/token").read().strip()
headers = {{"Authorization": f"Bearer {{token}}", "Content-Type": "application/json"}}
asked = urllib.request.Request("https://{HOST}/access/v1/evaluation", sys.argv[1].encode(), headers)
trusted = ssl.create_default_context(cafile="/gate/ca.crt")
try:
    print(urllib.request.urlopen(asked, timeout=5, context=trusted).read().decode())
except urllib.error.HTTPError as refusal:
    print(refusal.read().decode())
"""


@pytest.fixture(scope="module")
def gate(cluster: Cluster, operator_of_session: OperatorPod, shared_namespace: Kubectl) -> Iterator[GatePod]:
    """Two decision points, which the Agent's account may ask about its namespace."""
    here = shared_namespace.namespace
    points = [{"serviceAccount": {"namespace": here, "name": ACCOUNT}, "namespaces": [here]}]
    pods = GatePod(cluster, points, REPLICAS)
    pods.make_certificate()
    operator_of_session.start({"gate": pods.values})
    pods.ready()
    pods.trusted_in(here)
    yield pods
    operator_of_session.start()


@pytest.fixture(scope="module")
def asker(gate: GatePod, together: Kubectl) -> Kubectl:
    """A pod that asks them, and one that has an identity."""
    sources = [
        {"serviceAccountToken": {"audience": AUDIENCE, "path": "token"}},
        {"configMap": {"name": TRUSTED}},
    ]
    asks = container("sh", "-c", STAYS, image=PYTHON, volumeMounts=[{"name": "gate", "mountPath": "/gate"}])
    volume = {"name": "gate", "projected": {"sources": sources}}
    together.create(pod(ASKER, asks, of="", volumes=[volume], **gate.known_by()))
    together.create([task_of_pod(TASK), pod(TASK)])
    inside.running(together, ASKER, TASK)
    story.runs(together, TASK, inside.STARTED)
    return together


def asked(here: Kubectl, of: Object, action: str = "orders:read") -> dict[str, Any]:
    """What they say of the task's credential."""
    question = json.dumps(deciding.question(of, action))
    said: dict[str, Any] = json.loads(here("exec", ASKER, "--", "python3", "-c", ASK, question))
    return said


def test_a_pod_is_told_who_may_do_what_until_the_task_ends(asker: Kubectl) -> None:
    running = asker.get("agenttask", TASK)
    assert asked(asker, running)["decision"] is True
    assert asked(asker, running, "orders:delete")["context"]["reason"] == "ActionNotGranted"

    asker.patch("agenttask", TASK, {"spec": {"state": "Ended"}})

    ended = wait_until(
        "the ended task is refused",
        lambda: asked(asker, running),
        lambda seen: seen["decision"] is False,
    )
    assert ended["context"]["reason"] == "TaskEnded"


@pytest.mark.usefixtures("asker")
def test_what_they_decided_is_in_the_ledger(admin: Kubectl) -> None:
    def recorded() -> list[str]:
        batches = admin.in_namespace(NAMESPACE).list("ledgerbatches")
        records = (json.loads(each) for batch in batches for each in batch["spec"]["records"].splitlines())
        return [each["replica"] for each in records if each["kind"] == "decisions"]

    wait_until("a decision point has reported", recorded, bool, within=REPORTED)


def test_one_of_them_answers_while_the_other_is_replaced(
    asker: Kubectl, admin: Kubectl, gate: GatePod
) -> None:
    asker.create([task_of_pod("refund-4712"), pod("refund-4712")])
    running = story.runs(asker, "refund-4712", inside.STARTED)
    system = admin.in_namespace(NAMESPACE)
    first, *_ = system.list("pods", "--selector=app.kubernetes.io/component=gate")

    system.delete("pod", first["metadata"]["name"], "--wait=false")

    answers = [asked(asker, running)["decision"] for _ in range(5)]
    gate.ready()
    assert answers == [True] * 5
