"""What happens by the clock: renewal, deadlines, a life that is not renewed, tidying up.

A credential lives 30 s at the least, so everything is started together, and each test then looks at one of
the tasks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, agent, pod, service_account, task

RENEWED = {"ttlSeconds": 30}
NOT_RENEWED = {"ttlSeconds": 30, "renew": False}
LIFE = timedelta(seconds=30)
PATIENTLY = timedelta(seconds=50)


@dataclass(frozen=True, slots=True)
class Started:
    """A namespace in which tasks were started, each as it was when it first ran."""

    here: Kubectl
    first: dict[str, Object]
    keys: dict[str, bytes]

    def secret(self, name: str) -> Object:
        """The Secret of a task."""
        return self.here.get("secret", f"agentid-{name}")

    def sees(
        self, name: str, good: Callable[[Object], object], what: str, within: timedelta = PATIENTLY
    ) -> Object:
        """Wait until a task is `good`."""
        return self.here.wait_for("agenttask", name, good, within, f"AgentTask {name} {what}")


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
    running = (*with_pods, "suspended", "over")
    first = {name: story.runs(here, name) for name in running}
    keys = {name: story.public_key(here.get("secret", f"agentid-{name}")) for name in running}
    here.patch("agenttask", "suspended", {"spec": {"state": "Suspended"}})
    here.patch("agenttask", "over", {"spec": {"state": "Ended"}})
    yield Started(here, first, keys)
    playing.clear(here)
    cluster.kubectl.delete("namespace", "by-the-clock", "--wait=false")


def time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def ended_at(finished: Object) -> datetime:
    return time(finished["status"]["endTime"])


def test_credential_is_renewed_in_place_at_two_thirds_of_its_life_and_both_count(started: Started) -> None:
    first = started.first["renewed"]
    old = first["status"]["credentials"][0]
    secret_uid = started.secret("renewed")["metadata"]["uid"]

    renewed = started.sees("renewed", lambda seen: len(story.serials(seen)) == 2, "is renewed")
    new = renewed["status"]["credentials"][1]
    secret = wait_until(
        "the Secret holds the new credential",
        lambda: started.secret("renewed"),
        lambda seen: story.leaf_serial(seen) == new["serial"],
    )

    assert renewed["status"]["credentials"][0] == old
    assert new["generation"] == renewed["status"]["credentialGeneration"] == 2
    issued = time(new["notBefore"]) + timedelta(seconds=60)
    assert timedelta(0) < time(old["notAfter"]) - issued < timedelta(seconds=12), "in the last third of 30 s"
    assert time(new["notAfter"]) > time(old["notAfter"])
    assert secret["metadata"]["uid"] == secret_uid, "a mount follows only the same Secret"
    assert story.public_key(secret) != started.keys["renewed"]
    for same in ("spiffeID", "startTime", "deadline", "boundPod", "specHash"):
        assert renewed["status"][same] == first["status"][same]
    event = story.told(started.here, renewed, at_least=2)[1]
    assert (event.reason, event.action, event.related) == ("CredentialRenewed", "Renew", "Pod/renewed")
    assert f"serial {new['serial']} replaces {old['serial']}" in event.note


def test_credential_that_ran_out_counts_no_longer_after_the_next_renewal(started: Started) -> None:
    (first,) = story.serials(started.first["renewed"])

    later = started.sees(
        "renewed", lambda seen: seen["status"]["credentialGeneration"] == 3, "is renewed once more"
    )

    assert first not in story.serials(later)
    assert len(story.serials(later)) == 2


def test_nothing_is_renewed_after_the_end(started: Started) -> None:
    started.sees("renewed", lambda seen: seen["status"]["credentialGeneration"] >= 2, "is renewed")

    over = story.ends(started.here, "Ended", "over")

    assert over["status"]["credentialGeneration"] == 1
    assert started.here.find("secret", "agentid-over") is None


def test_renewal_never_reaches_past_the_deadline_and_the_task_ends_there(started: Started) -> None:
    deadline = time(started.first["until-deadline"]["status"]["deadline"])
    assert deadline == time(started.first["until-deadline"]["status"]["startTime"]) + timedelta(seconds=45)

    renewed = started.sees(
        "until-deadline", lambda seen: seen["status"]["credentialGeneration"] == 2, "is renewed"
    )
    if not story.is_finished(renewed):
        assert time(renewed["status"]["credentials"][-1]["notAfter"]) == deadline
    ended = story.ends(started.here, "Expired", "until-deadline", PATIENTLY)

    assert deadline <= ended_at(ended) < deadline + timedelta(seconds=5)
    assert ended["status"]["credentialGeneration"] == 2
    assert "spec.activeDeadlineSeconds" in story.conditions(ended)["Finished"]["message"]
    story.secret_gone_or_empty(started.here, "until-deadline")
    told = [each.reason for each in story.told(started.here, ended, at_least=3)]
    assert told == ["CredentialIssued", "CredentialRenewed", "TaskExpired"]


def test_credential_that_is_not_renewed_is_the_end_of_its_task(started: Started) -> None:
    ended = story.ends(started.here, "Expired", "not-renewed", PATIENTLY)

    not_after = time(started.first["not-renewed"]["status"]["credentials"][0]["notAfter"])
    assert not_after <= ended_at(ended) < not_after + timedelta(seconds=5)
    assert ended["status"]["credentialGeneration"] == 1
    assert "spec.credential.renew is false" in story.conditions(ended)["Finished"]["message"]
    story.secret_gone_or_empty(started.here, "not-renewed")


def test_deadline_runs_on_while_the_task_is_suspended(started: Started) -> None:
    ended = story.ends(started.here, "Expired", "suspended", PATIENTLY)

    started_at = time(started.first["suspended"]["status"]["startTime"])
    assert started_at + LIFE <= ended_at(ended) < started_at + LIFE + timedelta(seconds=5)
    told = [each.reason for each in story.told(started.here, ended, at_least=3)]
    assert told == ["CredentialIssued", "Suspended", "TaskExpired"]


@pytest.mark.parametrize(("name", "waited"), [("waits", "AwaitingPod"), ("waits-for-agent", "AwaitingAgent")])
def test_task_that_waits_longer_than_its_start_deadline_ends(
    started: Started, name: str, waited: str
) -> None:
    ended = story.ends(started.here, "StartDeadlineExceeded", name, PATIENTLY)

    due = time(ended["metadata"]["creationTimestamp"]) + timedelta(seconds=20)
    assert due <= ended_at(ended) < due + timedelta(seconds=5)
    assert f"it last waited with reason {waited}" in story.conditions(ended)["Finished"]["message"]
    assert story.told(started.here, ended)[-1].reason == "StartDeadlineExceeded"
    assert started.here.find("secret", f"agentid-{name}") is None


def test_finished_task_is_deleted_after_its_time_and_another_is_kept(started: Started) -> None:
    kept = story.ends(started.here, "Ended", "kept")

    started.here.wait_gone("agenttask", "tidied", PATIENTLY)

    assert datetime.now(UTC) >= ended_at(kept) + timedelta(seconds=19)
    assert started.here.find("agenttask", "kept") is not None
