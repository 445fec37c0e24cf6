"""Which Kubernetes, which CRDs and which agentid are at work, and what holds with them."""

import re
from collections.abc import Mapping
from typing import Any, Final

from agentid.api import crd, kinds
from agentid.api.admission import Found
from agentid.cluster.connection import Body
from agentid.cluster.paths import Resource
from agentid.doctor.finding import Finding, problem, warning, well
from agentid.doctor.look import Look

KUBERNETES: Final = "Kubernetes"
CRDS: Final = "CRDs"
AGENTID: Final = "agentid"
CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions"
)
_VERSION_LABEL: Final = "app.kubernetes.io/version"
_LEAST: Final = (1, 30)
_STAMPS_FROM: Final = (1, 36)
_INSTALL: Final = (
    "Install the chart of the operator's version again (helm upgrade); crds.enabled must be true."
)


async def look_at_kubernetes(look: Look) -> list[Finding]:
    """Ask the API server for its version."""
    return judge_kubernetes(await look.connection.get("/version"))


def judge_kubernetes(version: Mapping[str, Any]) -> list[Finding]:
    """Say what holds with this version of Kubernetes."""
    told = str(version.get("gitVersion"))
    numbers = tuple(
        int(match[0]) if (match := re.match(r"[0-9]{1,4}", str(version.get(part)))) else 0
        for part in ("major", "minor")
    )
    if numbers < _LEAST:
        said = f"Kubernetes {told} has no ValidatingAdmissionPolicy v1, without which nothing may be issued."
        return [problem(KUBERNETES, said, "Use Kubernetes 1.30 or newer; 1.36 or newer is wanted.")]
    if numbers < _STAMPS_FROM:
        said = (
            f"Kubernetes {told} has no MutatingAdmissionPolicy v1: who creates a task types its own "
            "user name, an "
            "intent cannot be changed, and nothing is injected into pods."
        )
        return [
            warning(KUBERNETES, said, "What holds without it is in docs/threat-model.md; 1.36 has all of it.")
        ]
    return [well(KUBERNETES, f"Kubernetes {told}: who asks is stamped, and labelled pods get their volume.")]


async def look_at_crds(look: Look) -> list[Finding]:
    """Read each CRD and judge it."""
    findings: list[Finding] = []
    for kind in kinds.KINDS:
        expected = crd.definition(kind)
        found = await look.find(CUSTOM_RESOURCE_DEFINITIONS, None, kind.crd_name)
        findings += judge_crd(kind.crd_name, expected, found)
    return findings


def judge_crd(name: str, expected: Mapping[str, Any], found: Body | None) -> list[Finding]:
    """Say whether a CRD is there, served, and of this version."""
    if found is None:
        return [problem(CRDS, f"CRD {name} is missing.", _INSTALL)]
    conditions = (found.get("status") or {}).get("conditions") or []
    if not any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions):
        said = f"CRD {name} is not established: {_why_not(conditions)}."
        return [
            problem(
                CRDS, said, "kubectl describe crd says what collides with it; mend that, then install again."
            )
        ]
    version = expected["spec"]["versions"][0]
    installed = next((each for each in found["spec"]["versions"] if each["name"] == version["name"]), None)
    if installed is None or not installed.get("served") or not installed.get("storage"):
        return [problem(CRDS, f"CRD {name} does not serve and store {version['name']}.", _INSTALL)]
    if installed.get("schema") != version["schema"]:
        said = f"CRD {name} serves {version['name']} with another schema than this version of agentid has."
        return [
            warning(
                CRDS, said, "Use the `agentid` of the installed version, or install the chart of this one."
            )
        ]
    return [well(CRDS, f"CRD {name} serves and stores {version['name']} with this version's schema.")]


def judge_agentid(own_version: str, found: Found) -> list[Finding]:
    """Say whether this program is of the chart's version, as the labels of its rules say it."""
    labels = {
        str(((rule.get("metadata") or {}).get("labels") or {}).get(_VERSION_LABEL) or "")
        for rule in found.values()
        if rule is not None
    } - {""}
    if not labels:
        said = f"agentid {own_version}; no rule says of which version the installation is."
        return [warning(AGENTID, said, "Install it with the chart, which labels everything.")]
    if labels != {own_version}:
        said = f"This is agentid {own_version}; the installation is of {', '.join(sorted(labels))}."
        return [warning(AGENTID, said, "Judge rules and CRDs with the `agentid` of the installed version.")]
    return [well(AGENTID, f"This program and the installation are both of {own_version}.")]


def _why_not(conditions: list[Mapping[str, Any]]) -> str:
    messages = [
        str(each["message"]) for each in conditions if each.get("status") == "False" and each.get("message")
    ]
    return "; ".join(messages) or "the API server has not said why"
