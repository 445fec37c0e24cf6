"""A family of tasks is drawn from its uppermost task down, each once, whatever it says of its parents."""

from datetime import timedelta
from typing import Any

import pytest

from agentid.cli.emergencies import as_json, is_emergency, listed
from agentid.cli.printing import span
from agentid.cli.tree import MOST_SHOWN, Family, drawn, family_of
from agentid.controller.packed_task import PackedTask
from tests.unit.cli_tasks import NOW, UID, task


def below(parent: dict[str, Any], name: str, number: int, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    reference = {key: parent["metadata"][key] for key in ("name", "uid")}
    return task(name, number, standing="Running", parentRef=reference, **spec)


def step(parent: dict[str, Any], name: str, number: int, *, granted: bool) -> dict[str, Any]:
    intent = {"purpose": "Refund", "actions": ["refunds:create"], "resources": ["order/4711"]}
    made = below(parent, name, number, credential={"mode": "None", "renew": False}, intent=intent)
    grant = {
        "name": name,
        "uid": made["metadata"]["uid"],
        "actions": ["refunds:create"],
        "until": "2026-11-23T11:00:00Z",
    }
    if granted:
        parent["status"].setdefault("grants", []).append(grant)
    return made


def family(asked: dict[str, Any], *tasks: dict[str, Any]) -> Family:
    return family_of(PackedTask.of(asked).facts(), [PackedTask.of(each) for each in tasks])


TOP = task("top", 1, standing="Running", onBehalfOf="carol@example.com")


def test_the_whole_family_is_drawn_from_the_uppermost_task_whichever_was_asked_for() -> None:
    top = task("top", 1, standing="Running", onBehalfOf="carol@example.com")
    top["status"]["deadline"] = "2026-11-23T10:20:00Z"
    left = below(top, "left", 2)
    inner = below(left, "inner", 3)
    pays, asks = step(top, "pays", 4, granted=True), step(top, "asks", 5, granted=False)
    others = (task("alone", 6), below(task("other", 7), "others", 8))
    for asked in (top, left, inner, pays):
        found = family(asked, top, left, inner, pays, asks, *others)
        name = asked["metadata"]["name"]
        lines = [line.split("   ")[0].rstrip() for line in drawn(found, NOW, wide=False).splitlines()[1:]]
        expected = ["top", "├─ left", "│  └─ inner", "├─ pays", "└─ asks"]
        assert lines == [f"{each} ←" if each.endswith(name) else each for each in expected]
        assert found.notes == ()
    head, *rows = drawn(family(top, top, left, inner, pays, asks), NOW, wide=True).splitlines()
    assert head.split() == [
        "NAME",
        "STATUS",
        "AGENT",
        "EXPIRES",
        "MAY-DO",
        "REQUESTER",
        "ON-BEHALF-OF",
        "SENSITIVITY",
        "AGE",
    ]
    assert "Running   refund-agent   20m" in rows[0]
    assert "grants refunds:create on order/4711" in rows[3]
    assert "step for refunds:create on order/4711" in rows[4]
    assert all("carol@example.com" in row for row in rows)


def test_a_parent_that_is_not_there_or_another_one_is_said() -> None:
    orphan = below(TOP, "orphan", 2)
    other = task("top", 9, standing="Running")
    for tasks, said in (((), "does not exist"), ((other,), f"has another UID ({UID.format(9)})")):
        found = family(orphan, orphan, *tasks)
        assert [each.task.name for each in found.members] == ["orphan"]
        assert said in found.notes[0]
    # It is none of that one's either.
    assert [each.task.name for each in family(other, orphan, other).members] == ["top"]


@pytest.mark.parametrize("asked", range(3))
def test_a_circle_is_drawn_once_and_said(asked: int) -> None:
    names = ["a", "b", "c"]
    bare = [task(name, number) for number, name in enumerate(names)]
    tasks = [below(bare[(number + 1) % 3], name, number) for number, name in enumerate(names)]
    found = family(tasks[asked], *tasks)
    assert sorted(each.task.name for each in found.members) == names
    assert "its parents lead in a circle" in found.notes[0]


def test_what_is_deeper_or_more_than_is_shown_is_counted() -> None:
    line = [task("t-0", 0)]
    for number in range(1, 20):
        line.append(below(line[-1], f"t-{number}", number))
    found = family(line[0], *line)
    assert [len(each.lineage.ancestors) for each in found.members] == list(range(len(found.members)))
    assert 6 < len(found.members) < len(line)
    assert "1 more are below them" in found.notes[0]

    many = [below(TOP, f"c-{number:04d}", number + 10) for number in range(MOST_SHOWN + 40)]
    found = family(TOP, TOP, *many)
    assert len(found.members) == MOST_SHOWN
    assert "41 more are below them" in found.notes[0]


def test_those_that_only_name_a_parent_crowd_out_neither_the_asked_one_nor_the_children_indeed() -> None:
    crowd = [below(TOP, f"c-{number:04d}", number + 10) for number in range(MOST_SHOWN + 40)]
    late = {"creationTimestamp": "2026-11-23T09:59:59Z"}
    child, asked = below(TOP, "child", 2), below(TOP, "asked", 3)
    inner = below(asked, "inner", 4)
    child["status"]["delegation"] = {
        "intentGeneration": 1,
        "chain": [{"name": "top", "uid": UID.format(1), "agent": "a", "requester": "alice@example.com"}],
    }
    for each in (child, asked, inner):
        each["metadata"] |= late
    found = family(inner, TOP, *crowd, child, asked, inner)
    names = [each.task.name for each in found.members]
    assert len(names) == MOST_SHOWN
    assert names[-3:] == ["asked", "inner", "child"]
    assert "44 more are below them" in found.notes[0]


def test_a_task_that_cannot_be_read_is_drawn_too() -> None:
    odd = below(TOP, "odd", 2, agentRef=7)
    assert "└─ odd" in drawn(family(TOP, TOP, odd), NOW, wide=True)


@pytest.mark.parametrize(
    ("time", "told"),
    [
        (timedelta(seconds=-5), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(seconds=120), "2m"),
        (timedelta(minutes=119), "119m"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2, hours=3), "2d"),
    ],
)
def test_a_time_is_told_as_kubectl_does(time: timedelta, told: str) -> None:
    assert span(time) == told


def test_an_emergency_is_told_with_whose_it_is_why_and_until_when() -> None:
    why = {"justification": "The payment provider is\x1b[2J down."}
    live = task("live", 1, standing="Running", breakGlass=why, credential={"renew": False})
    live["status"]["deadline"] = "2026-11-23T10:05:00Z"
    over = task("over", 2, standing="Expired", breakGlass=why)
    over["status"] |= {"deadline": "2026-11-23T10:05:00Z", "endTime": "2026-11-23T10:04:00Z"}
    assert [is_emergency(each) for each in (live, over, task(), {}, {"spec": {"breakGlass": 7}})] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert [as_json(each)["until"] for each in (live, over)] == [
        "2026-11-23T10:05:00Z",
        "2026-11-23T10:04:00Z",
    ]
    lines = listed([over, live], everywhere=True, wide=True).splitlines()
    assert lines[0].split()[:7] == [
        "NAMESPACE",
        "NAME",
        "STATUS",
        "REQUESTER",
        "CREATED",
        "UNTIL",
        "JUSTIFICATION",
    ]
    assert "alice@example.com" in lines[1]
    assert "The payment provider is [2J down." in lines[2]
