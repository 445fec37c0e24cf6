"""What the doctor makes of credential Secrets that should not be there."""

from datetime import timedelta
from typing import Any

from agentid.controller.settings import Settings
from agentid.doctor import leftovers
from agentid.doctor.finding import Standing
from agentid.doctor.leftovers import LONGEST_STAY, TaskSeen
from tests.unit.doctor_installation import NOW, one


def metadata(name: str, uid: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    return {"namespace": "support", "name": name, "uid": uid, **more}


def credential(name: str, task_uid: str, *owners: str) -> dict[str, Any]:
    return metadata(
        f"agentid-{name}",
        f"secret-of-{task_uid}",
        labels={"agentid.dev/task-uid": task_uid},
        ownerReferences=[{"uid": uid} for uid in owners],
    )


def test_a_secret_is_left_over_when_its_task_is_gone_or_another_of_the_same_name() -> None:
    secrets = [credential("live", "1"), credential("gone", "2"), credential("again", "3", "pod-3")]
    tasks = {("support", "live"): TaskSeen("1"), ("support", "again"): TaskSeen("4")}

    found = leftovers.leftovers(secrets, tasks, [metadata("p", "pod-3")], NOW)

    assert [(each.name, each.has_pod) for each in found] == [("agentid-again", True), ("agentid-gone", False)]
    told = leftovers.judge_leftovers(found, len(secrets))
    assert [each.standing for each in told] == [Standing.WARNING, Standing.PROBLEM]
    assert "support/agentid-gone" in told[1].sentence


def test_an_emptied_secret_whose_task_nobody_remembers_is_of_the_task_of_its_name() -> None:
    secret = {**credential("live", ""), "labels": {}}

    assert leftovers.leftovers([secret], {("support", "live"): TaskSeen("1")}, [], NOW) == []
    assert one(leftovers.judge_leftovers([], 1)).standing is Standing.OK


def test_a_secret_that_outlives_its_tasks_end_is_told() -> None:
    long_ago, lately = NOW - LONGEST_STAY - timedelta(seconds=1), NOW - LONGEST_STAY
    tasks = {
        ("support", "over"): TaskSeen("1", long_ago),
        ("support", "just-over"): TaskSeen("2", lately),
        ("support", "running"): TaskSeen("3"),
    }
    secrets = [credential("over", "1", "pod-1"), credential("just-over", "2"), credential("running", "3")]

    found = leftovers.leftovers(secrets, tasks, [metadata("p", "pod-1")], NOW)

    told = one(leftovers.judge_leftovers(found, len(secrets)))
    assert told.standing is Standing.PROBLEM
    assert "1 credential Secrets are still there" in told.sentence
    assert "support/agentid-over." in told.sentence
    assert "kubectl delete secret" in told.remedy


def test_no_secret_is_told_that_a_grace_which_can_be_set_keeps() -> None:
    (longest,) = (
        limit.le for limit in Settings.model_fields["wipe_grace_seconds"].metadata if hasattr(limit, "le")
    )

    assert timedelta(seconds=longest) < LONGEST_STAY
