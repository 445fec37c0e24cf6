"""What the doctor makes of credential Secrets that should not be there."""

from typing import Any

from agentid.doctor import leftovers
from agentid.doctor.finding import Standing
from tests.unit.doctor_installation import one


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
    tasks = [metadata("live", "1"), metadata("again", "4")]

    found = leftovers.leftovers(secrets, tasks, [metadata("p", "pod-3")])

    assert [(each.name, each.has_pod) for each in found] == [("agentid-again", True), ("agentid-gone", False)]
    told = leftovers.judge_leftovers(found, len(secrets))
    assert [each.standing for each in told] == [Standing.WARNING, Standing.PROBLEM]
    assert "support/agentid-gone" in told[1].sentence


def test_an_emptied_secret_whose_task_nobody_remembers_is_of_the_task_of_its_name() -> None:
    secret = {**credential("live", ""), "labels": {}}

    assert leftovers.leftovers([secret], [metadata("live", "1")], []) == []
    assert one(leftovers.judge_leftovers([], 1)).standing is Standing.OK
