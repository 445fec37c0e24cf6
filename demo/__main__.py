"""`python -m demo`: the story on a cluster of its own, which is thrown away afterwards."""

import os
import sys

from rich.console import Console

from agentid.errors import AgentidError
from demo.narration import Narrator
from demo.played_stage import PlayedStage
from demo.real_stage import RealStage
from demo.stage import ENFORCEMENT_POINTS, Stage
from demo.story import Story
from devcluster import build, machine, operator_image
from devcluster.controlplane import ControlPlane
from devcluster.errors import PackagesMissingError
from devcluster.gate_pod import GatePod
from devcluster.install import GATE_IS_A_PROCESS, install_chart
from devcluster.node import Node
from devcluster.operator_pod import OperatorPod
from devcluster.operator_process import OperatorProcess
from devcluster.progress import step
from devcluster.standing import GIVEN, given_kubeconfig

INTERRUPTED = 130  # what a shell makes of Ctrl-C


def main() -> int:
    """Tell the story; 0 if all of it was so."""
    errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    try:
        _tell(Narrator(Console(highlight=False)))
    except (AgentidError, AssertionError) as failed:
        errors.print(f"\nThe demo failed: {failed}", style="red")
        return 1
    except KeyboardInterrupt:
        errors.print("\nThe demo was interrupted; what it started has been ended.")
        return INTERRUPTED
    return 0


def _tell(tell: Narrator) -> None:
    """Start a cluster, tell the story on it, and throw it away."""
    tell.title("agentid demo · a real Kubernetes, everything thrown away afterwards")
    if given_kubeconfig():
        tell.quote(f"{GIVEN} is set, but not for this: the demo starts a cluster of its own")
    obstacle = why_no_node()
    node = obstacle is None
    if obstacle:
        tell.quote(f"no node here, so the pods' status is played: {obstacle}")
    build.ensure_groups(["controlplane", "helm"])
    with step("starting the cluster"):
        cluster = ControlPlane.start(node=node)
    with cluster:
        stage: Stage
        if node:
            gate = GatePod(cluster, ENFORCEMENT_POINTS)
            with step("installing the chart, with the operator and a decision point in pods"):
                gate.make_certificate()
                OperatorPod(cluster, {"gate": gate.values}, replicas=1).start()
            stage = RealStage(cluster, gate)
        else:
            with step("installing the chart"):
                install_chart(cluster, {"gate": GATE_IS_A_PROCESS}, policy=None)
            with step("starting the operator"):
                OperatorProcess(cluster, environment={"AGENTID_HEARTBEAT": "true"}).start()
            stage = PlayedStage(cluster)
        Story(cluster, stage, tell).tell()
    if node:
        tell.closing(
            "Everything above was real, operator and decision point in pods from the chart and image. "
            "To look for yourself: make cluster-up NODE=1"
        )
    else:
        tell.closing(
            "Kubernetes, operator, decision point and every certificate above were real; only the pods were "
            "played. To look for yourself: make cluster-up"
        )


def why_no_node() -> str | None:
    """Why pods can't run here; None if they can, and then all that it takes is built and installed."""
    if os.environ.get("AGENTID_DEMO_NODE") == "0":
        return "AGENTID_DEMO_NODE is 0"
    if obstacle := machine.obstacle():
        return obstacle
    try:
        Node.prepare()
        operator_image.built()
    except PackagesMissingError as missing:
        return str(missing)
    return None


if __name__ == "__main__":
    sys.exit(main())
