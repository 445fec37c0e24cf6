"""The operator is killed while pods run: nothing changes for them, and what it had begun is finished."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_pod import OperatorPod
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.in_force import wait_until_in_force
from tests.e2e import inside
from tests.e2e.objects import pod, task_of_pod, unbound_task

pytestmark = pytest.mark.node_of_ours

NAMES = ("quiet", "half-ended", "ended-meanwhile")
POLICY = "nobody-updates-half-ended.agentid.test"
RULE: dict[str, Any] = {
    "resourceRules": [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["UPDATE"],
            "resources": ["secrets"],
            "resourceNames": ["agentid-half-ended"],
        }
    ]
}


@pytest.fixture
def nobody_updates(admin: Kubectl) -> Iterator[Callable[[], None]]:
    """The API server refuses the wipe of one Secret, until the function given here is called."""
    group = "admissionregistration.k8s.io/v1"
    admin.create(
        [
            {
                "apiVersion": group,
                "kind": "ValidatingAdmissionPolicy",
                "metadata": {"name": POLICY},
                "spec": {
                    "matchConstraints": RULE,
                    "validations": [{"expression": "false", "message": "not now"}],
                },
            },
            {
                "apiVersion": group,
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": {"name": POLICY},
                "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
            },
        ]
    )
    wait_until_in_force(admin)

    def lift() -> None:
        admin("delete", "validatingadmissionpolicybinding", POLICY, "--ignore-not-found")
        admin("delete", "validatingadmissionpolicy", POLICY, "--ignore-not-found")

    yield lift
    lift()


@pytest.fixture(scope="module")
def place(together: Kubectl) -> Kubectl:
    """A running pod with its task for each test."""
    together.create([make(name) for name in NAMES for make in (task_of_pod, pod)])
    inside.running(together, *NAMES)
    return together


def version(here: Kubectl, name: str) -> tuple[str, str]:
    """Which write of which Secret a task's credential is."""
    metadata = here.get("secret", f"agentid-{name}")["metadata"]
    return metadata["uid"], metadata["resourceVersion"]


def untouched(before: Object, after: Object) -> bool:
    return bool(before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"])


def test_a_killed_operator_starts_again_and_rewrites_nothing(place: Kubectl, operator: OperatorPod) -> None:
    before = story.runs(place, "quiet", inside.STARTED)
    written = version(place, "quiet")

    operator.kill()
    operator.start()

    place.create(unbound_task("afterwards"))
    story.runs(place, "afterwards", inside.STARTED)
    assert untouched(before, place.get("agenttask", "quiet"))
    assert version(place, "quiet") == written
    inside.holds(place, "quiet", story.serials(before)[-1])
    place.patch("agenttask", "quiet", {"spec": {"state": "Ended"}})
    inside.emptied(place, "quiet")


def test_files_become_empty_when_the_operator_was_killed_between_the_end_and_the_wipe(
    place: Kubectl, operator: OperatorPod, nobody_updates: Callable[[], None]
) -> None:
    before = story.runs(place, "half-ended", inside.STARTED)
    inside.holds(place, "half-ended", story.serials(before)[-1])

    place.patch("agenttask", "half-ended", {"spec": {"state": "Ended"}})
    story.ends(place, "Ended", "half-ended", inside.STARTED)
    assert story.leaf_serial(place.get("secret", "agentid-half-ended")) == story.serials(before)[-1]
    operator.kill()
    nobody_updates()
    operator.start()

    inside.emptied(place, "half-ended")
    ended = story.ends(place, "Ended", "half-ended")
    wait_until(
        "nothing is said to be left to do",
        lambda: story.conditions(place.get("agenttask", "half-ended")).get("Stalled", {"status": "False"}),
        lambda seen: seen["status"] == "False",
        within=inside.STARTED,
    )
    assert ended["status"]["endTime"]
    place.delete("pod", "half-ended")
    story.secret_gone(place, "half-ended", inside.STARTED)


def test_an_end_that_came_while_no_operator_ran_is_carried_out(place: Kubectl, operator: OperatorPod) -> None:
    before = story.runs(place, "ended-meanwhile", inside.STARTED)
    inside.holds(place, "ended-meanwhile", story.serials(before)[-1])

    operator.kill()
    place.delete("agenttask", "ended-meanwhile")
    assert inside.serial(place, "ended-meanwhile") == story.serials(before)[-1]
    operator.start()

    inside.emptied(place, "ended-meanwhile")
    place.delete("pod", "ended-meanwhile")
    story.secret_gone(place, "ended-meanwhile", inside.STARTED)
