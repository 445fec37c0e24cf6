"""A cluster that stands until it is told to go: `make cluster-up` and `make cluster-down`.

With a node the operator runs as users run it, in pods; without one it is a process on this machine.

`.run/` of the checkout holds what names it: `cluster.json`, the claim that keeps the run alive, and
`kubeconfig`. Removing the folder by hand is safe too: the next start then ends the run.
"""

import json
import os
import shlex
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from devcluster import build, reaping
from devcluster.cluster import Cluster, ExistingCluster
from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError, StartError
from devcluster.install import NAMESPACE, install_chart, uninstall_chart
from devcluster.operator_pod import DEPLOYMENT, OperatorPod, runs_in
from devcluster.operator_process import OperatorProcess, operators
from devcluster.places import RUN_FOLDER
from devcluster.progress import say, step
from devcluster.run import Run, end_if_dead, reap_leftovers
from devcluster.waiting import wait_until

CLAIM = RUN_FOLDER / "cluster.json"
KUBECONFIG = RUN_FOLDER / "kubeconfig"
OPERATOR_LOG = RUN_FOLDER / "operator.log"
GIVEN = "AGENTID_KUBECONFIG"


def up(*, node: bool) -> None:
    """Start a cluster with agentid in it and leave it running; one that runs already goes on.

    Args:
        node: With a node for real pods.

    Raises:
        DevclusterError: It can't be had, and nothing of it is left; or the one that runs is not as asked for.
    """
    reap_leftovers()
    if CLAIM.exists():
        claim = json.loads(CLAIM.read_text())
        if Path(claim["folder"]).is_dir():
            _go_on(claim, node=node)
            _say_what_next()
            return
        _forget()
    with begin(node=node) as cluster:
        if runs_in(cluster):
            with step("installing charts/agentid, with the operator in pods"):
                OperatorPod(cluster).start()
            _claim(cluster, None, node=node)
        else:
            with step("installing charts/agentid"):
                install_chart(cluster, policy=None)
            operator = OperatorProcess(cluster)
            with step("starting the operator"):
                operator.start()
            _claim(cluster, operator.process.log, node=node)
    _say_what_next()


def down() -> None:
    """End the standing cluster, or take agentid off the one that was given; nothing where none is up."""
    reap_leftovers()
    if not CLAIM.exists():
        say("No cluster is up.")
        return
    claim = json.loads(CLAIM.read_text())
    folder, given = Path(claim["folder"]), claim["given"]
    if given:
        _take_off(Path(given), folder)
    with step("ending what was started for it" if given else "ending the cluster"):
        if folder.is_dir():
            end_if_dead(folder, even_if_claimed=True)
        _forget()


def given_kubeconfig() -> Path | None:
    """The kubeconfig of the cluster to use instead of starting one, from `AGENTID_KUBECONFIG`."""
    given = os.environ.get(GIVEN)
    return Path(given).expanduser().resolve() if given else None


def begin(*, node: bool) -> ControlPlane | ExistingCluster:
    """The cluster that was given, which has its own nodes, or a new one."""
    if given := given_kubeconfig():
        with step(f"using the cluster of {given}"):
            return ExistingCluster.use(given)
    build.ensure_groups(["controlplane", "helm", *(["node"] if node else [])])
    with step("starting a control plane and a node" if node else "starting a control plane"):
        return ControlPlane.start(node=node)


def _go_on(claim: Mapping[str, Any], *, node: bool) -> None:
    """Leave the cluster that runs, if it is what was asked for, and see to its operator.

    A process that has ended is started again; pods get the image of the code as it is now.

    Raises:
        StartError: It is another one, has no node, or does not answer.
    """
    wanted, given = given_kubeconfig(), claim["given"]
    if wanted and str(wanted) != given:
        raise StartError(
            f"a cluster is up already, and it is not that of {wanted}: `make cluster-down` ends it"
        )
    if node and not claim["node"] and not given:
        raise StartError(
            "a cluster is up already, and it has no node: `make cluster-down`, then `make cluster-up NODE=1`"
        )
    say("A cluster is up already; `make cluster-down` ends it.")
    folder = Path(claim["folder"])
    with ExistingCluster(Run.detached(folder), KUBECONFIG) as cluster:
        try:
            cluster.kubectl("version", "--request-timeout=20s")
        except KubectlError as silent:
            raise StartError(
                f"but it does not answer: `make cluster-down`, then `make cluster-up`; {silent}"
            ) from silent
        if claim.get("pods"):
            with step("bringing its operator to the code as it is"):
                OperatorPod(cluster).start()
        elif not operators(folder.name):
            with step("starting its operator, which had ended"):
                OperatorProcess(cluster).start()


def _claim(cluster: Cluster, log: Path | None, *, node: bool) -> None:
    """Write down in `.run/` what is running, and let it run on.

    Args:
        cluster: The cluster.
        log: The log of the operator's process; None where it runs in pods.
        node: Whether a node was asked for.
    """
    RUN_FOLDER.mkdir(exist_ok=True)
    KUBECONFIG.unlink(missing_ok=True)
    KUBECONFIG.touch(mode=0o600)
    KUBECONFIG.write_text(cluster.kubeconfig.read_text())
    OPERATOR_LOG.unlink(missing_ok=True)
    if log:
        OPERATOR_LOG.symlink_to(log)
    given = given_kubeconfig()
    claim = {
        "folder": str(cluster.run.folder),
        "given": str(given) if given else None,
        "node": node,
        "pods": log is None,
    }
    CLAIM.write_text(json.dumps(claim))
    cluster.run.detach(CLAIM)


def _take_off(kubeconfig: Path, folder: Path) -> None:
    """Let the operator give back its lease, and uninstall the chart from somebody's cluster."""
    with step("stopping what runs beside it"):
        for pid in reaping.processes(folder.name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until("the operator ends", lambda: not reaping.processes(folder.name))
    with step("uninstalling the chart"), ExistingCluster.use(kubeconfig) as cluster:
        uninstall_chart(cluster)


def _forget() -> None:
    """Remove what named the cluster."""
    for path in (CLAIM, KUBECONFIG, OPERATOR_LOG):
        path.unlink(missing_ok=True)


def _pinned(name: str) -> Path:
    return build.ensure([name])[name]


def _say_what_next() -> None:
    """Print where things are and what to try: the lines to copy go to standard output."""
    claim = json.loads(CLAIM.read_text())
    given = claim["given"]
    find = build.installed_or_built if given else _pinned
    folders = ":".join(sorted({shlex.quote(str(find(name).parent)) for name in ("kubectl", "helm")}))
    say(f"kubeconfig    {KUBECONFIG}")
    if claim.get("pods"):
        say(f"operator log  kubectl logs --namespace {NAMESPACE} deployment/{DEPLOYMENT}")
    else:
        say(f"operator log  {OPERATOR_LOG}")
    say("To use it from this shell:")
    print(f"export KUBECONFIG={shlex.quote(str(KUBECONFIG))} PATH={folders}:$PATH")
    if not given and any(name.lower() in ("http_proxy", "https_proxy") for name in os.environ):
        host = urlsplit(yaml.safe_load(KUBECONFIG.read_text())["clusters"][0]["cluster"]["server"]).hostname
        print(f"export NO_PROXY={host}${{NO_PROXY:+,$NO_PROXY}}")
    say("Then for example:")
    for line in (
        "kubectl apply -f deploy/examples/",
        "kubectl get atask -o wide",
        "kubectl describe atask refund-4711",
        "kubectl explain agenttask.spec.intent",
        "make cluster-down",
    ):
        say(f"  {line}")
    if not given and not claim["node"]:
        say("It has no node, so pods stay Pending, and tasks wait for them: NODE=1 (as root) gives it one.")
