"""Installs the chart with Helm, and hands out what the operator may use: its own service account, no more."""

import json
import os
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from devcluster.cluster import Cluster
from devcluster.errors import CommandError
from devcluster.places import CHART

RELEASE = "agentid"
NAMESPACE = "agentid-system"
SERVICE_ACCOUNT = "agentid"
TRUST_DOMAIN = "demo.local"
OPERATOR_IS_A_PROCESS: Mapping[str, Any] = {"replicaCount": 0, "trustDomain": TRUST_DOMAIN}
"""What the chart is told where nothing of ours runs in pods."""
GATE_ACCOUNT = "agentid-gate"
GATE_IS_A_PROCESS: Mapping[str, Any] = {"enabled": True, "replicaCount": 0}
"""The chart's value `gate` where decision points run outside of pods, under their account."""
EVERYTHING: Mapping[str, Any] = {
    "apiVersion": "agentid.dev/v1alpha1",
    "kind": "ClusterAgentPolicy",
    "metadata": {"name": "everything"},
    "spec": {"cedar": "permit (principal, action, resource);\n"},
}
"""A policy that allows all that Agents allow: what tests try is mostly something else."""
TOKEN_LIFE = timedelta(days=30)
HELM_TIMEOUT = timedelta(minutes=3)


def install_chart(
    cluster: Cluster,
    values: Mapping[str, Any] | None = None,
    *,
    policy: Mapping[str, Any] | None = EVERYTHING,
) -> None:
    """Install `charts/agentid`, or bring what is installed to these values.

    Args:
        cluster: Where to.
        values: Chart values that differ from its defaults; `OPERATOR_IS_A_PROCESS` holds unless they say
            otherwise.
        policy: What is allowed; None: what the chart says, where no policy is there yet.

    Raises:
        CommandError: Helm said no.
    """
    given = cluster.run.folder / "values.yaml"
    of_charts = {"policy": {"default": {"create": policy is None}}}
    given.write_text(yaml.safe_dump({**OPERATOR_IS_A_PROCESS, **of_charts, **(values or {})}))
    helm(
        cluster,
        "upgrade",
        RELEASE,
        str(CHART),
        "--install",
        # Without it, no values means those of the last time.
        "--reset-values",
        "--create-namespace",
        f"--values={given}",
        "--wait",
        f"--timeout={HELM_TIMEOUT.total_seconds():.0f}s",
    )
    if policy is not None:
        cluster.kubectl.apply(policy)


def uninstall_chart(cluster: Cluster) -> None:
    """Take the chart off again; nothing happens where it is not installed."""
    helm(cluster, "uninstall", RELEASE, "--ignore-not-found", "--wait")


def helm(cluster: Cluster, *arguments: str) -> str:
    """Run Helm as administrator in agentid's namespace, with its own files in the run's folder.

    Returns:
        Its standard output.

    Raises:
        CommandError: It returned an error.
    """
    command = [str(cluster.helm), *arguments, f"--namespace={NAMESPACE}"]
    home = {f"HELM_{kind}_HOME": str(cluster.run.folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")}
    done = subprocess.run(
        command,
        env=os.environ | home | {"KUBECONFIG": str(cluster.kubeconfig)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(command, done.returncode, done.stderr)
    return done.stdout


def operator_kubeconfig(cluster: Cluster, name: str = "operator", account: str = SERVICE_ACCOUNT) -> Path:
    """Write a kubeconfig that holds a token of the operator's service account and nothing else.

    Args:
        cluster: The cluster, with the chart installed.
        name: What to call the file.
        account: Another account of agentid's namespace in its place.

    Returns:
        The file, readable by its owner only.
    """
    token = cluster.kubectl.in_namespace(NAMESPACE)(
        "create", "token", account, f"--duration={TOKEN_LIFE.total_seconds():.0f}s"
    )
    view = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json")
    document = json.loads(view)
    document["users"] = [{"name": name, "user": {"token": token.strip()}}]
    for context in document["contexts"]:
        context["context"] = {"cluster": context["context"]["cluster"], "user": name}
    path = cluster.run.folder / f"{name}.kubeconfig"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
