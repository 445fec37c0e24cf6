"""What happens by the clock: renewal, deadlines, a life that is not renewed, tidying up.

A credential lives 30 s at the least, so everything is started together, and each test then looks at one of
the tasks. What may be over before a test looks, it reads where it is kept: in Events, in the times of
certificates, in the audit log. Nothing here measures how fast the operator is, only that it is not too early,
and that no credential outlives its task.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from devcluster.audit import is_write
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.objects import ANY_POD, agent, pod, service_account, task
from tests.laying_out import clear_workloads

RENEWED = {"ttlSeconds": 30}
NOT_RENEWED = {"ttlSeconds": 30, "renew": False}
LIFE = timedelta(seconds=30)
BACKDATED = timedelta(seconds=60)
PATIENTLY = timedelta(seconds=150)
"""How long a test waits before it gives up: less than the 300 s after which everything is listed again."""


@dataclass(frozen=True, slots=True)
class Started:
    """A namespace in which tasks were started, each as it was when it was first seen to run."""

    here: Kubectl
    first: dict[str, Object]
    cluster: ControlPlane

    def sees(self, name: str, good: Callable[[Object], object], what: str) -> Object:
        """Wait until a task is `good`."""
        return self.here.wait_for("agenttask", name, good, PATIENTLY, f"AgentTask {name} {what}")

    def written(self, name: str) -> list[Object]:
        """Every Secret with a credential that was ever written for a task, oldest first."""
        return [
            event["responseObject"]
            for event in self.cluster.audit()
            if is_write(event)
            and event["verb"] in {"create", "update"}
            and event["objectRef"].get("namespace") == self.here.namespace
            and event["objectRef"].get("name") == f"agentid-{name}"
            and story.leaf_serial(event["responseObject"])
        ]


@pytest.fixture(scope="module")
def started(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[Started]:
    """Every task of this module, started at the same time."""
    assert node
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": "by-the-clock"}})
    here = cluster.kubectl.in_namespace("by-the-clock")
    with_pods = ("renewed", "not-renewed", "until-deadline")
    unallowed = task("waits-for-agent", startDeadlineSeconds=20)
    unallowed["spec"]["agentRef"] = {"name": "nobody"}
    here.create(
        [
            service_account(),
            agent(),
            task("renewed", credential=RENEWED, **ANY_POD),
            task("not-renewed", credential=NOT_RENEWED, **ANY_POD),
            task("until-deadline", credential=RENEWED, activeDeadlineSeconds=45, **ANY_POD),
            task("suspended", credential=RENEWED, activeDeadlineSeconds=30),
            task("waits", startDeadlineSeconds=20, **ANY_POD),
            unallowed,
            task("tidied", state="Ended", ttlSecondsAfterFinished=20),
            task("kept", state="Ended", ttlSecondsAfterFinished=600),
            task("over", credential=RENEWED),
            *(pod(name, of=name) for name in with_pods),
        ]
    )
    first = {}
    for name, then in (("suspended", "Suspended"), ("over", "Ended")):
        first[name] = story.runs(here, name)
        here.patch("agenttask", name, {"spec": {"state": then}})
    first |= {name: story.runs(here, name) for name in with_pods}
    yield Started(here, first, cluster)
    clear_workloads(here)
    cluster.kubectl.delete("namespace", "by-the-clock", "--wait=false")


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ended_at(finished: Object) -> datetime:
    return time(finished["status"]["endTime"])


def issued_at(credential: Object) -> datetime:
    """When a credential in a status was made: its life begins earlier, for clocks that are slow."""
    return time(credential["notBefore"]) + BACKDATED


def test_credential_is_renewed_in_place_at_two_thirds_of_its_life_and_both_count(started: Started) -> None:
    renewed = started.sees("renewed", lambda seen: len(story.serials(seen)) == 2, "has two that count")
    old, new = renewed["status"]["credentials"]
    secrets = wait_until(
        "the new credential was written",
        lambda: started.written("renewed"),
        lambda seen: new["serial"] in map(story.leaf_serial, seen),
    )

    assert new["generation"] == old["generation"] + 1 == renewed["status"]["credentialGeneration"]
    soonest = LIFE * 2 / 3 * 0.95 - timedelta(seconds=2)  # renewals are spread by 5 %, times are in seconds
    assert issued_at(old) + soonest <= issued_at(new) <= time(old["notAfter"])
    assert time(new["notAfter"]) > time(old["notAfter"])
    assert len({each["metadata"]["uid"] for each in secrets}) == 1, "a mount follows only the same Secret"
    assert len({story.public_key(each) for each in secrets}) == len(secrets), "each with a key of its own"
    first = started.first["renewed"]
    for same in ("spiffeID", "startTime", "deadline", "boundPod", "specHash"):
        assert renewed["status"][same] == first["status"][same]
    told = story.told(started.here, renewed, at_least=new["generation"])
    event = told[new["generation"] - 1]
    assert (event.reason, event.action, event.related) == ("CredentialRenewed", "Renew", "Pod/renewed")
    assert f"serial {new['serial']} replaces {old['serial']}" in event.note


def test_credential_that_ran_out_counts_no_longer_after_the_next_renewal(started: Started) -> None:
    first = story.leaf_serial(started.written("renewed")[0])

    later = started.sees(
        "renewed",
        lambda seen: seen["status"]["credentialGeneration"] > 2 and len(story.serials(seen)) == 2,
        "is renewed once more",
    )

    assert first not in story.serials(later)


def test_nothing_is_renewed_after_the_end(started: Started) -> None:
    over = story.ends(started.here, "Ended", "over")

    due = ended_at(over) + LIFE
    started.sees(
        "renewed",
        lambda seen: any(issued_at(each) > due for each in seen["status"]["credentials"]),
        "is renewed a life later",
    )

    assert started.here.get("agenttask", "over")["status"] == over["status"]
    assert started.here.find("secret", "agentid-over") is None
    generations = over["status"]["credentialGeneration"]
    assert len(started.written("over")) == generations, "none was written after the end"


def test_renewal_never_reaches_past_the_deadline_and_the_task_ends_there(started: Started) -> None:
    deadline = time(started.first["until-deadline"]["status"]["deadline"])
    assert deadline == time(started.first["until-deadline"]["status"]["startTime"]) + timedelta(seconds=45)

    ended = story.ends(started.here, "Expired", "until-deadline", PATIENTLY)

    assert deadline <= ended_at(ended)
    lives = [story.leaf(each).not_valid_after_utc for each in started.written("until-deadline")]
    assert len(lives) == 2
    assert lives[0] < lives[1] == deadline
    assert ended["status"]["credentialGeneration"] == 2
    assert "spec.activeDeadlineSeconds" in story.conditions(ended)["Finished"]["message"]
    story.secret_gone_or_empty(started.here, "until-deadline")
    told = [each.reason for each in story.told(started.here, ended, at_least=3)]
    assert told == ["CredentialIssued", "CredentialRenewed", "TaskExpired"]


def test_credential_that_is_not_renewed_is_the_end_of_its_task(started: Started) -> None:
    ended = story.ends(started.here, "Expired", "not-renewed", PATIENTLY)

    not_after = time(started.first["not-renewed"]["status"]["credentials"][0]["notAfter"])
    assert not_after <= ended_at(ended)
    assert len(started.written("not-renewed")) == 1
    assert ended["status"]["credentialGeneration"] == 1
    assert "spec.credential.renew is false" in story.conditions(ended)["Finished"]["message"]
    story.secret_gone_or_empty(started.here, "not-renewed")


def test_deadline_runs_on_while_the_task_is_suspended(started: Started) -> None:
    ended = story.ends(started.here, "Expired", "suspended", PATIENTLY)

    before = started.first["suspended"]["status"]
    assert time(before["startTime"]) + LIFE == time(before["deadline"]) <= ended_at(ended)
    told = [each.reason for each in story.told(started.here, ended, at_least=3)]
    assert [each for each in told if each != "CredentialRenewed"] == [
        "CredentialIssued",
        "Suspended",
        "TaskExpired",
    ]


@pytest.mark.parametrize(("name", "waited"), [("waits", "AwaitingPod"), ("waits-for-agent", "AwaitingAgent")])
def test_task_that_waits_longer_than_its_start_deadline_ends(
    started: Started, name: str, waited: str
) -> None:
    ended = story.ends(started.here, "StartDeadlineExceeded", name, PATIENTLY)

    due = time(ended["metadata"]["creationTimestamp"]) + timedelta(seconds=20)
    assert due <= ended_at(ended)
    assert f"it last waited with reason {waited}" in story.conditions(ended)["Finished"]["message"]
    assert story.told(started.here, ended)[-1].reason == "StartDeadlineExceeded"
    assert started.here.find("secret", f"agentid-{name}") is None


def test_finished_task_is_deleted_after_its_time_and_another_is_kept(started: Started) -> None:
    kept = story.ends(started.here, "Ended", "kept")

    started.here.wait_gone("agenttask", "tidied", PATIENTLY)

    assert datetime.now(UTC) >= ended_at(kept) + timedelta(seconds=19)
    assert started.here.find("agenttask", "kept") is not None
