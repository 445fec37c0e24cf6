"""`python -m demo`: the story on a cluster of its own, which is thrown away afterwards."""

import os
import sys

from rich.console import Console

from agentid.errors import AgentidError
from demo.narration import Narrator
from demo.played_stage import PlayedStage
from demo.real_stage import RealStage
from demo.stage import Stage
from demo.story import Story
from devcluster import build, machine
from devcluster.controlplane import ControlPlane
from devcluster.install import install_chart
from devcluster.operator_process import OperatorProcess
from devcluster.progress import step


def main() -> int:
    """Tell the story; 0 if all of it was so."""
    console = Console(highlight=False)
    tell = Narrator(console)
    obstacle = why_no_node()
    node = obstacle is None
    tell.title("agentid demo · a real Kubernetes, everything thrown away afterwards")
    if obstacle:
        tell.quote(f"no node here, so the pods' status is played: {obstacle}")
    try:
        build.ensure_groups(["controlplane", "helm", *(["node"] if node else [])])
        with step("starting the cluster"):
            cluster = ControlPlane.start(node=node)
        with cluster:
            with step("installing the chart"):
                install_chart(cluster)
            with step("starting the operator"):
                OperatorProcess(cluster).start()
            stage: Stage = RealStage(cluster) if node else PlayedStage(cluster)
            Story(cluster, stage, tell).tell()
    except (AgentidError, AssertionError) as failed:
        Console(stderr=True, highlight=False, markup=False).print(f"\nThe demo failed: {failed}", style="red")
        return 1
    tell.closing("Everything above was real. To look for yourself: make cluster-up NODE=1")
    return 0


def why_no_node() -> str | None:
    """Why pods can't run here; None if they can."""
    return "AGENTID_DEMO_NODE is 0" if os.environ.get("AGENTID_DEMO_NODE") == "0" else machine.obstacle()


if __name__ == "__main__":
    sys.exit(main())
