"""The end of a task, and its suspension, in a pod that lives on: the mounted files become empty."""

from collections.abc import Iterator

import pytest

from devcluster.kubectl import Kubectl, Object
from devcluster.operator_pod import OperatorPod
from tests.cluster import story
from tests.e2e import inside
from tests.e2e.objects import pod, task_of_pod

NAMES = ("ended", "deleted", "suspended", "outlives")


@pytest.fixture(scope="module")
def place(together: Kubectl) -> Kubectl:
    """A running pod with its task for each test."""
    together.create([make(name) for name in NAMES for make in (task_of_pod, pod)])
    inside.running(together, *NAMES)
    return together


@pytest.fixture
def brief_grace(operator: OperatorPod) -> Iterator[None]:
    """An operator that deletes an emptied Secret after half a minute, although a pod lives."""
    operator.restart({"operator": {"wipeGraceSeconds": 30}})
    yield
    operator.restart()


def has_its_credential(here: Kubectl, name: str) -> Object:
    """Wait until a task runs, and see that its pod has what its status says."""
    found = story.runs(here, name, inside.STARTED)
    inside.holds(here, name, story.serials(found)[-1])
    return found


def lives_unharmed(here: Kubectl, name: str) -> None:
    """See that a pod runs and that none of its containers was ever started again."""
    found = here.get("pod", name)
    assert found["status"]["phase"] == "Running"
    assert not any(inside.restarts(found))


def test_files_are_empty_after_an_end_by_hand_and_the_secret_goes_with_the_pod(place: Kubectl) -> None:
    has_its_credential(place, "ended")

    place.patch("agenttask", "ended", {"spec": {"state": "Ended", "stateReason": "looks wrong"}})

    story.ends(place, "Ended", "ended", inside.STARTED)
    story.secret_emptied(place, "ended", inside.STARTED)
    inside.emptied(place, "ended")
    lives_unharmed(place, "ended")
    assert place.find("secret", "agentid-ended") is not None, "within its grace the empty Secret stays"
    place.delete("pod", "ended")
    story.secret_gone(place, "ended", inside.STARTED)
    story.ends(place, "Ended", "ended")


def test_files_are_empty_after_the_task_is_deleted(place: Kubectl) -> None:
    has_its_credential(place, "deleted")

    place.delete("agenttask", "deleted")

    inside.emptied(place, "deleted")
    lives_unharmed(place, "deleted")
    assert story.is_empty(place.get("secret", "agentid-deleted"))
    place.delete("pod", "deleted")
    story.secret_gone(place, "deleted", inside.STARTED)


def test_files_are_empty_while_suspended_and_filled_anew_afterwards(place: Kubectl) -> None:
    before = has_its_credential(place, "suspended")
    key = inside.read(place, "suspended", "tls.key")

    place.patch("agenttask", "suspended", {"spec": {"state": "Suspended"}})
    story.stands(place, "Suspended", "suspended", inside.STARTED)
    inside.emptied(place, "suspended")
    place.patch("agenttask", "suspended", {"spec": {"state": "Active"}})

    after = has_its_credential(place, "suspended")
    assert set(story.serials(before)).isdisjoint(story.serials(after))
    assert inside.read(place, "suspended", "tls.key") not in {key, ""}
    assert after["status"]["boundPod"]["uid"] == before["status"]["boundPod"]["uid"]
    assert after["status"]["spiffeID"] == before["status"]["spiffeID"]
    lives_unharmed(place, "suspended")


@pytest.mark.usefixtures("brief_grace")
def test_the_secret_goes_after_its_grace_although_the_pod_lives_and_its_files_stay_empty(
    place: Kubectl,
) -> None:
    has_its_credential(place, "outlives")

    place.patch("agenttask", "outlives", {"spec": {"state": "Ended"}})

    inside.emptied(place, "outlives")
    story.secret_gone(place, "outlives", inside.SYNCED)
    assert not any(inside.sizes(place, "outlives").values())
    lives_unharmed(place, "outlives")
