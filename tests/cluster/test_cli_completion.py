"""`kubectl agentid …` as the real kubectl completes it, with names that the caller may see."""

import os
import subprocess
import sys
from pathlib import Path

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from tests.cluster.callers import caller
from tests.cluster.objects import AGENT, task


def completed(here: Kubectl, config: Path, *words: str) -> tuple[list[str], str]:
    """What kubectl offers behind `kubectl agentid`, and what it says the shell makes of it."""
    scripts = str(Path(sys.executable).parent)
    ended = subprocess.run(
        [str(here.program), "__complete", "agentid", *words],
        env={**os.environ, "KUBECONFIG": str(config), "PATH": f"{scripts}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = [line for line in ended.stderr.splitlines() if not line.startswith("[Debug] ")]
    return ended.stdout.splitlines(), "\n".join(said).removeprefix("Completion ended with directive: ")


def test_kubectl_completes_commands_options_and_the_names_of_tasks_and_agents(
    cluster: ControlPlane, place: Kubectl, tmp_path: Path
) -> None:
    place.create([task("refund-4711"), task("refund-4712"), task("report-1")])
    viewer = caller(cluster, place, "viewer", tmp_path, "agentid-viewer")
    for words, offered in (
        (("wh",), ["why"]),
        (("inventory", "--own"), ["--owner"]),
        (("why", ""), ["refund-4711", "refund-4712", "report-1"]),
        (("suspend", "refund-4711", "ref"), ["refund-4712"]),
        (("end", "--agent", ""), [AGENT]),
        (("why", "-n", "kube-system", ""), []),
    ):
        lines, said = completed(place, viewer, *words)
        assert lines == [*offered, ":4" if offered else ":0"], said
        assert said == f"ShellCompDirective{'NoFileComp' if offered else 'Default'}"


def test_who_may_see_no_tasks_is_offered_none_and_told_nothing(
    cluster: ControlPlane, place: Kubectl, tmp_path: Path
) -> None:
    place.create(task("refund-4711"))
    nobody = caller(cluster, place, "nobody", tmp_path)
    lines, said = completed(place, nobody, "why", "")
    assert lines == [":0"]
    assert said == "ShellCompDirectiveDefault"
