"""What tests of families apply: a task without a parent, children and steps of it, and how all of it ends."""

from datetime import timedelta
from typing import Any

from devcluster.kubectl import Kubectl, Object
from tests.cluster import story
from tests.cluster.objects import task

TOP = "triage"
INTENT = {"purpose": "Triage", "actions": ["orders:read"], "grantable": ["refunds:create"]}
NARROW = {"purpose": "Triage", "actions": ["orders:list"]}
REFUND = {"purpose": "Refund order 4711", "actions": ["refunds:create"]}
STEP: dict[str, Any] = {"credential": {"mode": "None", "renew": False, "ttlSeconds": 60}, "intent": REFUND}
DEPTH = 5


def child(of: Object, name: str, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """A child of the task `of`, which asks for what that has."""
    reference = {key: of["metadata"][key] for key in ("name", "uid")}
    return task(name, parentRef=reference, **{"intent": INTENT, **spec})


def top_of(here: Kubectl, **spec: Any) -> Object:  # noqa: ANN401 - parts of a manifest
    """Create the task without a parent, and wait until it runs."""
    here.create(task(TOP, intent=INTENT, **spec))
    return story.runs(here, TOP)


def line_of(here: Kubectl, delegates: Kubectl, depth: int = DEPTH, **top: Any) -> list[str]:  # noqa: ANN401 - as above
    """The running tasks of a family, from the one without a parent down; returns their names."""
    above = top_of(here, **top)
    for number in range(1, depth + 1):
        delegates.create(child(above, f"child-{number}"))
        above = story.runs(here, f"child-{number}")
    return [TOP, *(f"child-{number}" for number in range(1, depth + 1))]


def message(of: Object) -> str:
    """Why a task stands as it does; "" before the operator has seen it."""
    return str(story.conditions(of).get("Finished", {}).get("message", ""))


def grants(of: Object) -> list[str]:
    """The steps that a task shows as its own."""
    return [each["name"] for each in of["status"].get("grants", [])]


def was_given(of: Object) -> bool:
    """Whether a task ever had a credential, also one that was taken since."""
    return "credentialGeneration" in of.get("status", {})


def all_end(here: Kubectl, names: list[str], *reasons: str) -> list[Object]:
    """Wait until all these are over for one of the reasons, with nothing left to read; return them."""
    ended = []
    for name in names:
        over = here.wait_for("agenttask", name, story.is_finished, timedelta(seconds=60), f"{name} is over")
        assert story.standing(over) in reasons, message(over)
        assert story.serials(over) == []
        story.secret_gone_or_empty(here, name)
        ended.append(over)
    return ended
