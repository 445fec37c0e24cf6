"""Renders the chart as Helm does, without a cluster."""

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from devcluster import build
from devcluster.places import CHART

Manifest = dict[str, Any]


@cache
def rendered(*values: str, namespace: str = "agentid-system", trust_domain: str = "prod.example.com") -> str:
    """The chart as YAML with these values (`name=value`).

    Raises:
        ValueError: Helm refused; the text is what it said.
    """
    helm = build.ensure(["helm"])["helm"]
    command = [str(helm), "template", "agentid", str(CHART), f"--namespace={namespace}"]
    command += [f"--set={value}" for value in (f"trustDomain={trust_domain}", *values)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return done.stdout


def render(*values: str, namespace: str = "agentid-system") -> list[Manifest]:
    """The objects of the chart with these values; those of `helm test` are among them."""
    return [each for each in yaml.safe_load_all(rendered(*values, namespace=namespace)) if each]


def rendered_from(values: Path) -> list[Manifest]:
    """The objects of the chart with the values in a file."""
    helm = build.ensure(["helm"])["helm"]
    command = [
        str(helm),
        "template",
        "agentid",
        str(CHART),
        "--namespace=agentid-system",
        f"--values={values}",
    ]
    command.append("--set=trustDomain=prod.example.com")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def notes(*values: str) -> str:
    """What Helm says after an installation with these values."""
    helm = build.ensure(["helm"])["helm"]
    command = [str(helm), "install", "agentid", str(CHART), "--dry-run=client"]
    command += [f"--set={value}" for value in ("trustDomain=prod.example.com", *values)]
    nowhere = os.environ | {"KUBECONFIG": os.devnull}
    done = subprocess.run(command, env=nowhere, capture_output=True, text=True, check=True)
    return done.stdout.partition("\nNOTES:\n")[2]


def of_kind(objects: list[Manifest], kind: str) -> list[Manifest]:
    """Those of one kind."""
    return [each for each in objects if each["kind"] == kind]


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of a kind and a name."""
    (found,) = (each for each in of_kind(objects, kind) if each["metadata"]["name"] == name)
    return found
