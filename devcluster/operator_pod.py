"""The operator as users run it: from the chart, with the image, in pods under its own service account."""

import json
import os
import signal
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from agentid.api.names import OPERATOR_LEASE
from agentid.errors import AgentidError
from devcluster import node, operator_image
from devcluster.cluster import Cluster
from devcluster.errors import ConditionNotMetError, KubectlError, StartError
from devcluster.install import NAMESPACE, install_chart
from devcluster.kubectl import Object
from devcluster.operator_answers import parsed, sampled
from devcluster.operator_image import OperatorImage
from devcluster.waiting import wait_until

GIVEN_IMAGE = "AGENTID_IMAGE"
DEPLOYMENT = "agentid-operator"
CONTAINER = "operator"
PORT = 8080
STARTUP = timedelta(seconds=120)
GONE = timedelta(seconds=60)
WHY_NOT_READY = f"""
import urllib.error, urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:{PORT}/readyz", timeout=5).read().decode())
except urllib.error.HTTPError as refusal:
    print(refusal.read().decode())
"""


class OperatorPod:
    """The operators of a cluster, a leader and its standbys, which are started, stopped and killed together.

    It is used like `OperatorProcess`, and is told chart values where that is told variables.

    Attributes:
        replicas: How many there are.
    """

    def __init__(self, cluster: Cluster, values: Mapping[str, Any] | None = None, replicas: int = 2) -> None:
        """Operators that need not be running yet.

        Args:
            cluster: Its cluster: with a node of ours, or with nodes that can have the image AGENTID_IMAGE.
            values: Values of the chart that differ from its defaults.
            replicas: How many operators there are to be.
        """
        self.replicas = replicas
        self._cluster = cluster
        self._kubectl = cluster.kubectl.in_namespace(NAMESPACE)
        self._values = dict(values or {})
        self._installed: dict[str, Any] | None = None
        self._image: OperatorImage | None = None

    def start(self, values: Mapping[str, Any] | None = None, *, wait: bool = True) -> None:
        """Start them, by Helm where anything has changed since the last time.

        Args:
            values: Values of the chart for this start only.
            wait: Wait until they are ready: one leads, each other stands by with its caches warm.

        Raises:
            StartError: They were not ready in time; the message holds what they say of it.
        """
        wanted = self._values | dict(values or {})
        if wanted != self._installed:
            if not self.alive():
                # One that was scaled by hand is not Helm's alone any more.
                self._kubectl.delete("deployment", DEPLOYMENT, "--ignore-not-found")
            self._installed = None
            self._install(wanted)
        else:
            self._scale(self.replicas)
        if wait:
            self.wait_ready()

    def wait_ready(self, within: timedelta = STARTUP) -> None:
        """Wait until each of them is ready; StartError with what they say if they are not."""
        try:
            wait_until("the operator's pods are ready", self.ready, within=within)
        except ConditionNotMetError as late:
            raise StartError(f"{late}; {self.why_not_ready()}") from None

    def terminate(self, within: timedelta = GONE) -> None:
        """End them as a rollout does, with SIGTERM, and wait until they are gone."""
        if self.alive():
            self._scale(0)
        self._wait_gone(within)

    def kill(self) -> None:
        """End them as kill -9 does; they do nothing any more from the first moment, and stay away.

        Raises:
            StartError: Their node is not one of ours.
        """
        containers = [self._container_id(pod) for pod in self._pods()]
        for container in containers:
            self._signal(container, signal.SIGSTOP)
        self._scale(0)
        wait_until(
            "the operator's pods are to go",
            self._pods,
            lambda pods: all("deletionTimestamp" in pod["metadata"] for pod in pods),
        )
        for container in containers:
            self._signal(container, signal.SIGKILL)
        self._wait_gone(GONE)

    def kill_leader(self) -> str:
        """End the leader's process as kill -9 does, which its kubelet starts again.

        Returns:
            The name of its pod.
        """
        name = self.leader()
        self._signal(self._container_id(self._kubectl.get("pod", name)), signal.SIGKILL)
        return name

    def restart(self, values: Mapping[str, Any] | None = None) -> None:
        """End them with SIGTERM, start them again and wait until they are ready."""
        self.terminate()
        self.start(values)

    def alive(self) -> bool:
        """Are they to run?"""
        deployment = self._kubectl.find("deployment", DEPLOYMENT)
        return deployment is not None and deployment["spec"]["replicas"] > 0

    def ready(self) -> bool:
        """Are all of them ready, and none of an earlier version left?"""
        deployment = self._kubectl.find("deployment", DEPLOYMENT)
        if deployment is None or not deployment["spec"]["replicas"]:
            return False
        status, wanted = deployment.get("status", {}), deployment["spec"]["replicas"]
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
        seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        return seen and counts == [wanted] * 3 and len(self._pods()) == wanted

    def healthy(self) -> bool:
        """Does `/healthz` say yes in each of them?"""
        return all(self.served(name, "healthz") for name in self.pods())

    def why_not_ready(self) -> str:
        """What each pod says in `/readyz`; of one that does not run, what its kubelet and its log say."""
        said = []
        for pod in self._pods():
            name = pod["metadata"]["name"]
            try:
                answer = self._kubectl(
                    "exec", name, f"--container={CONTAINER}", "--", "python3", "-c", WHY_NOT_READY
                )
            except KubectlError:
                states = [each.get("state") for each in pod["status"].get("containerStatuses", [])]
                answer = f"{pod['status'].get('phase')} {json.dumps(states)}\n{self._logs(pod, '--tail=10')}"
            said.append(f"{name}: {answer.strip()}")
        return "\n".join(said) or "there are no pods of the operator"

    def pods(self) -> list[str]:
        """The names of their pods."""
        return [pod["metadata"]["name"] for pod in self._pods()]

    def leader(self) -> str:
        """The name of the pod that holds the Lease now; "" where none does."""
        lease = self._kubectl.find("lease", OPERATOR_LEASE)
        holder = str(lease["spec"].get("holderIdentity") or "") if lease else ""
        return holder.rpartition("_")[0]

    def served(self, pod: str, path: str) -> str:
        """What a pod answers to `GET /<path>`, through the API server; "" where it does not answer well."""
        proxy = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{PORT}/proxy/{path}"
        try:
            return self._kubectl("get", "--raw", proxy)
        except KubectlError:
            return ""

    def metrics(self) -> str:
        """What the leader serves at `/metrics`; "" when it does not."""
        return self.served(self.leader(), "metrics")

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the leader's samples that have these labels; 0 where there is none."""
        return sampled(self.metrics(), name, labels)

    def log_lines(self) -> list[dict[str, Any]]:
        """All that the pods that are there have logged, before the last restart of their container too."""
        return [line for pod in self._pods() for line in parsed(self._logs(pod))]

    def _install(self, values: dict[str, Any]) -> None:
        """Bring the chart to these values, with the image where the nodes have it."""
        if self._image is None:
            self._image = _image(self._cluster)
        image = {
            "repository": self._image.repository,
            "tag": self._image.tag,
            # One that was built here can't be pulled.
            "pullPolicy": "Never" if self._image.archive else "IfNotPresent",
        }
        try:
            given = {"replicaCount": self.replicas, "image": image} | values
            install_chart(self._cluster, given, policy=None)
        except AgentidError as late:
            raise StartError(f"{late}; {self.why_not_ready()}") from late
        self._installed = values

    def _scale(self, replicas: int) -> None:
        self._kubectl("scale", "deployment", DEPLOYMENT, f"--replicas={replicas}")

    def _pods(self) -> list[Object]:
        """Their pods, also those that are leaving."""
        return self._kubectl.list("pods", f"--selector=app.kubernetes.io/component={CONTAINER}")

    def _wait_gone(self, within: timedelta) -> None:
        wait_until("the operator's pods are gone", self.pods, lambda seen: not seen, within=within)

    def _container_id(self, pod: Object) -> str:
        statuses = pod["status"].get("containerStatuses", [])
        return next((str(each["containerID"]) for each in statuses if each["name"] == CONTAINER), "")

    def _signal(self, container: str, number: signal.Signals) -> None:
        if not node.is_in(self._cluster.run):
            raise StartError("to kill an operator takes root on its node, and this is not a node of ours")
        node.signal_container(self._cluster.run.folder, container, number)

    def _logs(self, pod: Object, *options: str) -> str:
        """What a pod has logged, before the last restart of its container too."""
        name = pod["metadata"]["name"]
        restarted = any(each["restartCount"] for each in pod["status"].get("containerStatuses", []))
        before = self._log(name, "--previous", *options) if restarted else ""
        return before + self._log(name, *options)

    def _log(self, pod: str, *options: str) -> str:
        try:
            return self._kubectl("logs", pod, f"--container={CONTAINER}", *options)
        except KubectlError as none:
            return none.stderr


def runs_in(cluster: Cluster) -> bool:
    """Is there an image for the nodes of a cluster? If not, the operator runs beside it, as a process."""
    return node.is_in(cluster.run) or bool(os.environ.get(GIVEN_IMAGE))


def _image(cluster: Cluster) -> OperatorImage:
    """The image for the nodes of a cluster: built and imported where the node is ours, else the given one."""
    if node.is_in(cluster.run):
        image = operator_image.built()
        if image.archive:
            node.load_image(cluster.run.folder, image.archive)
        return image
    return given_image()


def given_image() -> OperatorImage:
    """The image that AGENTID_IMAGE names, for a cluster that was not made here.

    Raises:
        StartError: It names none, or not with its tag.
    """
    repository, _, tag = os.environ.get(GIVEN_IMAGE, "").rpartition(":")
    if not repository or "/" in tag:
        raise StartError(
            f"on a cluster that was not made here, {GIVEN_IMAGE} has to name an image of the operator that "
            "its nodes have or can pull, as repository:tag; `make kind-up` says which for a cluster of kind"
        )
    return OperatorImage(repository, tag)
