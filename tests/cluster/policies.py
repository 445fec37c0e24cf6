"""Policies as tests apply them, and how they stand: accepted, or refused and why."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import story

NAME = "refunds"
PERMIT_ALL = "permit (principal, action, resource);\n"


def agent_policy(cedar: str, name: str = NAME) -> Object:
    """A policy of a namespace."""
    return _policy("AgentPolicy", cedar, name)


def cluster_policy(cedar: str, name: str = "cluster") -> Object:
    """A policy of the cluster."""
    return _policy("ClusterAgentPolicy", cedar, name)


def _policy(kind: str, cedar: str, name: str) -> Object:
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"cedar": cedar},
    }


def accepted(here: Kubectl, policy: Mapping[str, Any], within: timedelta = story.PROMPTLY) -> Object:
    """Apply a policy and wait until its text is in force; return it as it is then."""
    return _told(here, policy, "True", within)


def refused(here: Kubectl, policy: Object, within: timedelta = story.PROMPTLY) -> Object:
    """Apply a policy and wait until its text is refused; return it as it is then."""
    return _told(here, policy, "False", within)


def stands(
    here: Kubectl, policy: Mapping[str, Any], status: str, within: timedelta = story.PROMPTLY
) -> Object:
    """Wait until the condition `Accepted` of the policy as it is applied has this status."""
    kind, name = policy["kind"].lower(), policy["metadata"]["name"]
    generation = here.get(kind, name)["metadata"]["generation"]

    def is_told(seen: Object) -> bool:
        told = story.conditions(seen).get("Accepted", {})
        return (told.get("status"), told.get("observedGeneration")) == (status, generation)

    return here.wait_for(kind, name, is_told, within, f"Accepted of {kind} {name} is {status}")


def _told(here: Kubectl, policy: Mapping[str, Any], status: str, within: timedelta) -> Object:
    here.apply(policy)
    return stands(here, policy, status, within)


def says(of: Object) -> str:
    """What the condition `Approved` of a task says."""
    return str(story.conditions(of)["Approved"]["message"])


def waits(here: Kubectl, name: str, reason: str, message: str) -> Object:
    """Wait until a task waits for that reason and says so; return it."""
    found = here.wait_for(
        "agenttask",
        name,
        lambda seen: (
            story.standing(seen) == reason and message in story.conditions(seen)["Finished"]["message"]
        ),
        story.PROMPTLY,
        f"AgentTask {name} is {reason}: {message}",
    )
    assert story.conditions(found)["Approved"]["status"] == "False"
    assert message in says(found)
    assert story.serials(found) == []
    return found


def revoked(here: Kubectl, name: str, message: str) -> Object:
    """Wait until a task has ended as policy does not allow it, and nothing is left to read."""
    over = story.ends(here, "Revoked", name)
    assert message in story.conditions(over)["Finished"]["message"]
    assert story.conditions(over)["Approved"]["status"] == "False"
    story.secret_gone_or_empty(here, name)
    event = wait_until(
        f"an Event tells that {name} was revoked",
        lambda: [each for each in story.told(here, over) if each.reason == "TaskRevoked"],
        within=story.PROMPTLY,
    )[0]
    assert (event.action, event.kind) == ("End", "Warning")
    assert message in event.note
    return over
