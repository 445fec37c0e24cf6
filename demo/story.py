"""The story, and its first act: a Job gets an identity and loses it; a copied key lasts until it expires."""

import json
import time
from datetime import timedelta

from demo.moments import Request, milliseconds, when
from demo.narration import Narrator
from demo.second_act import SecondAct
from demo.stage import MANIFESTS, NAMESPACE, PROGRAMS, SOON, Stage
from demo.third_act import ThirdAct
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until

SYNCED = timedelta(seconds=100)


class Story:
    """Tells it on one cluster; each scene checks what it claims, and raises where it does not hold."""

    def __init__(self, cluster: ControlPlane, stage: Stage, narrator: Narrator) -> None:
        self._cluster = cluster
        self._stage = stage
        self._tell = narrator
        self._kubectl: Kubectl = cluster.kubectl.in_namespace(NAMESPACE)
        self._address = ""

    def tell(self) -> None:
        """Tell all of it.

        Raises:
            DevclusterError: Something did not come about; the text says what, and what was seen instead.
            AssertionError: Something came about that must not.
        """
        self._set_up()
        self._tell.act("Act one: from apply to gone")
        self._a_job_works()
        answer_to_copy = self._a_task_is_ended_by_hand()
        self._a_copied_key_is_tried(answer_to_copy)
        self._what_people_see()
        SecondAct(self._cluster, self._stage, self._tell).tell()
        ThirdAct(self._cluster, self._stage, self._tell).tell()

    def _set_up(self) -> None:
        """Two agents, and the API that one of them calls."""
        self._cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": NAMESPACE}})
        programs = {each.name: each.read_text() for each in PROGRAMS.glob("*.py")}
        self._kubectl.create({"kind": "ConfigMap", "metadata": {"name": "agents"}, "data": programs})
        self._kubectl.apply(MANIFESTS / "agents.yaml")
        self._kubectl.apply(MANIFESTS / "orders-api.yaml")
        self._address = self._stage.orders_api()
        self._kubectl.create(
            {"kind": "ConfigMap", "metadata": {"name": "where"}, "data": {"ORDERS_API": self._address}}
        )

    def _a_job_works(self) -> None:
        self._tell.scene("A Job starts. It carries one label and no credentials.")
        self._tell.quote("agentid.dev/task: refund-4711")
        since = self._cluster.audit_position()
        self._kubectl.apply(MANIFESTS / "refund-4711.yaml")
        said = self._stage.job("refund-4711")
        pod = self._kubectl.list("pods", "--selector=job-name=refund-4711")[0]["metadata"]["name"]
        scheduled = when(self._cluster, Request("create", "pods/binding", pod), since, SOON)
        issued = when(self._cluster, Request("create", "secrets", "agentid-refund-4711"), since, SOON)
        identity = self._kubectl.get("atask", "refund-4711")["status"]["spiffeID"]
        self._tell.found(identity, f"issued {milliseconds(scheduled, issued)} after its pod was scheduled")

        self._tell.scene(
            "It calls the orders API with it, which lets in refund agents on a task, nobody else."
        )
        if not said.startswith("200") or identity.rpartition("/")[2] not in said:
            raise AssertionError(f"the orders API was to greet {identity}, but said: {said}")
        self._tell.found(said)

        self._tell.scene("The Job is done, so the task is over.")
        self._tell.found(self._finished("refund-4711", "Completed"))
        self._kubectl.wait_gone("secret", "agentid-refund-4711")
        self._tell.found("Secret agentid-refund-4711 is gone")

    def _a_task_is_ended_by_hand(self) -> str:
        """Return what the orders API says to the copied key as soon as the Secret is empty."""
        self._tell.scene("Another task. Somebody in its pod copies the key; then the task is ended by hand.")
        self._kubectl.apply(MANIFESTS / "refund-4712.yaml")
        self._stage.up("refund-4712")
        self._stage.steal("refund-4712")
        end = {"spec": {"state": "Ended", "stateReason": "looks wrong"}}
        self._tell.quote(f"kubectl patch atask refund-4712 --type=merge -p '{json.dumps(end)}'")
        since, began = self._cluster.audit_position(), time.monotonic()
        self._kubectl.patch("atask", "refund-4712", end)
        asked = when(self._cluster, Request("patch", "agenttasks", "refund-4712"), since, SOON)
        emptied = when(self._cluster, Request("update", "secrets", "agentid-refund-4712"), since, SOON)
        self._tell.found("Secret emptied", f"{milliseconds(asked, emptied)} after the end")
        answer_to_copy = self._call_with_copy()
        wait_until(
            "the key's file in the pod is empty",
            lambda: self._stage.key_size("refund-4712"),
            lambda size: size == 0,
            within=SYNCED,
        )
        self._tell.found(
            "the key's file in the running pod is empty", f"after {time.monotonic() - began:.0f} s"
        )
        return answer_to_copy

    def _a_copied_key_is_tried(self, at_first: str) -> None:
        self._tell.scene("The copied key. Emptying a Secret takes back no copy; a short life bounds it.")
        if not at_first.startswith("200"):
            raise AssertionError(f"the copied key was to work until it expires, but: {at_first}")
        self._tell.quote(f"when the Secret was emptied: {at_first}")
        refusal = wait_until(
            "the copied key is refused",
            self._call_with_copy,
            lambda answer: "expired" in answer,
            within=SYNCED,
            every=timedelta(seconds=1),
        )
        self._tell.refused(refusal)

    def _what_people_see(self) -> None:
        self._tell.scene("What kubectl tells of it.")
        self._tell.quote("kubectl get atask -n support")
        self._tell.listing(self._kubectl("get", "atask"))
        self._tell.quote("kubectl describe atask refund-4712 -n support")
        described = self._kubectl("describe", "atask", "refund-4712")
        _, heading, status = described.partition("Status:")
        self._tell.listing(heading + status)

    def _call_with_copy(self) -> str:
        return self._stage.call_with_copy("refund-4712", self._address)

    def _finished(self, name: str, reason: str) -> str:
        """Wait until the task has ended for this reason and return how its condition says so."""

        def ended(task: dict[str, object]) -> bool:
            return _finished_condition(task).get("status") == "True"

        condition = _finished_condition(
            self._kubectl.wait_for("atask", name, ended, SOON, f"AgentTask {name} has ended")
        )
        if condition["reason"] != reason:
            raise AssertionError(f"AgentTask {name} was to end as {reason}, but: {condition}")
        return f"{condition['reason']}: {condition['message']}"


def _finished_condition(task: dict[str, object]) -> dict[str, str]:
    status = task.get("status")
    conditions = status.get("conditions", []) if isinstance(status, dict) else []
    return next((each for each in conditions if each["type"] == "Finished"), {})
