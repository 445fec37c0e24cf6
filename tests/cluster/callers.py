"""People at the command line: who they are, what they may do, and what `agentid` tells them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from agentid.cli.main import app
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until

_QUICKLY = timedelta(minutes=3)
RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> Any:  # noqa: ANN401 - whatever it printed as JSON
        """What it printed, as JSON."""
        return json.loads(self.out)


def agentid(kubeconfig: Path, *arguments: str, stdin: str | None = None) -> Ended:
    """Run `agentid` as the person of a kubeconfig, in this process: to start one takes two seconds."""
    told = [*arguments, "--kubeconfig", str(kubeconfig)]
    ended = CliRunner().invoke(app, told, input=stdin, env={"COLUMNS": "80"}, prog_name="agentid")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def agentid_process(kubeconfig: Path | None, *arguments: str, within: timedelta = _QUICKLY) -> Ended:
    """Do the same in a process of its own; it never shows a traceback. None: it knows of no cluster."""
    told = ["--kubeconfig", str(kubeconfig)] if kubeconfig is not None else []
    ended = subprocess.run(
        [sys.executable, "-m", "agentid", *arguments, *told],
        env=None if told else {"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within.total_seconds(),
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def caller(cluster: ControlPlane, here: Kubectl, name: str, folder: Path, *roles: str) -> Path:
    """A kubeconfig of a service account that holds ClusterRoles in its namespace, which its context names."""
    here.create(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
            *(_binding(name, role) for role in roles),
        ]
    )
    wanted = [each for role in roles for each in _first_rights(here, role)]
    # The API server takes bindings up a moment after it has them.
    wait_until(f"RBAC lets {name} be {roles}", lambda: all(_may(here, name, each) for each in wanted))
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [{"name": name, "user": {"token": here("create", "token", name).strip()}}]
    for each in config["contexts"]:
        each["context"] |= {"user": name, "namespace": here.namespace}
    made = folder / f"{name}.kubeconfig"
    made.write_text(yaml.safe_dump(config))
    return made


def user_of(here: Kubectl, name: str) -> str:
    """The user name of that service account."""
    return f"system:serviceaccount:{here.namespace}:{name}"


def _binding(name: str, role: str) -> dict[str, Any]:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{name}-{role}"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": name}],
    }


def _first_rights(here: Kubectl, role: str) -> list[dict[str, str]]:
    """One right of each rule of a role: who has these has been given all of it."""
    return [
        {"verb": rule["verbs"][0], "group": rule["apiGroups"][0], "resource": rule["resources"][0]}
        for rule in here.get("clusterrole", role)["rules"]
    ]


def _may(here: Kubectl, name: str, right: dict[str, str]) -> bool:
    # `kubectl auth can-i` warns of verbs that it does not know, such as resume.
    attributes = {**right, "namespace": here.namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user_of(here, name), "resourceAttributes": attributes},
    }
    return bool(here.create(review)["status"]["allowed"])


def policy(name: str, cedar: str, *, cluster: bool = False) -> dict[str, Any]:
    """An AgentPolicy, or a ClusterAgentPolicy."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "ClusterAgentPolicy" if cluster else "AgentPolicy",
        "metadata": {"name": name},
        "spec": {"cedar": cedar},
    }


def written(folder: Path, *objects: dict[str, Any], name: str = "objects.yaml") -> Path:
    """A file that holds these objects."""
    file = folder / name
    file.write_text(yaml.safe_dump_all(objects))
    return file


def names(told: Sequence[dict[str, Any]]) -> dict[str, str]:
    """What came of each task, by its name."""
    return {each["name"]: each["result"] for each in told}


def names_of(told: Sequence[dict[str, Any]]) -> list[str]:
    """The names of what was told, in its order."""
    return [each["name"] for each in told]
