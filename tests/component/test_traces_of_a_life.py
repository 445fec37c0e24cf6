"""What traces show of a task's life: its issue, renewals and end, under the span of whoever applied it."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from agentid.api.names import TRACEPARENT_ANNOTATION
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import TASKS
from tests.component.test_ledger_and_life import NAMESPACE, UNBOUND, LedgerAndLife
from tests.unit.spans_in_memory import (
    CALLER,
    NOT_VALID,
    TRACE,
    TRACEPARENT,
    Spans,
    spans_in_memory,
    trace_id,
)

PATH = TASKS.path(NAMESPACE, UNBOUND)
ISSUED = [
    ("agentid.ledger", "agentid.issue"),
    ("agentid.status", "agentid.issue"),
    ("agentid.secret", "agentid.issue"),
]
ENDED = [("agentid.status", "agentid.end"), ("agentid.secret", "agentid.end")]


@pytest.fixture
def spans() -> Iterator[Spans]:
    with spans_in_memory() as made:
        yield made


@pytest.fixture
def life() -> Iterator[LedgerAndLife]:
    made = LedgerAndLife()
    made.begin(live=False)
    yield made
    made.teardown()


def apply(life: LedgerAndLife, traceparent: str | None = TRACEPARENT) -> None:
    """Create a task with that annotation, and wait until it has its credential."""
    life.create_task(name=UNBOUND)
    there = life.server.objects[PATH]
    annotations = {TRACEPARENT_ANNOTATION: traceparent} if traceparent is not None else {}
    life.server.put(PATH, {**there, "metadata": {**there["metadata"], "annotations": annotations}})
    life.settle()


def end(life: LedgerAndLife) -> None:
    life.end(name=UNBOUND, really=True)
    life.settle()


def named(spans: Spans, name: str) -> ReadableSpan:
    (found,) = [each for each in spans.sent() if each.name == name]
    return found


def test_issue_renewal_and_end_are_one_trace_with_what_they_wrote(spans: Spans, life: LedgerAndLife) -> None:
    apply(life)
    life.work_on(seconds=45)
    end(life)

    told = spans.told()
    renewed = [(name, "agentid.renew") for name, _ in ISSUED]
    assert sorted(told) == sorted(
        [
            ("agentid.issue", CALLER),
            *ISSUED,
            ("agentid.renew", CALLER),
            *renewed,
            ("agentid.end", CALLER),
            *ENDED,
        ]
    )
    assert {trace_id(each) for each in spans.sent()} == {TRACE}
    assert {each.status.status_code for each in spans.sent()} == {StatusCode.UNSET}


def test_a_span_says_of_which_task_it_is_and_what_was_decided(spans: Spans, life: LedgerAndLife) -> None:
    apply(life)
    there = life.server.objects[PATH]
    end(life)

    issue, ended = (dict(named(spans, name).attributes or {}) for name in ("agentid.issue", "agentid.end"))
    task = {
        "agentid.task.namespace": NAMESPACE,
        "agentid.task.name": UNBOUND,
        "agentid.task.uid": there["metadata"]["uid"],
        "agentid.agent": "refund-agent",
    }
    assert issue.items() >= task.items()
    assert ended.items() >= task.items()
    assert issue["agentid.serial"] == there["status"]["credentials"][0]["serial"]
    assert (issue["agentid.decision"], issue["agentid.reason"]) == ("allow", "Issued")
    assert (ended["agentid.reason"], "agentid.serial" in ended) == ("Ended", False)
    assert issue["agentid.rule"]
    assert ended["agentid.rule"] != issue["agentid.rule"]
    assert "PRIVATE KEY" not in "".join(each.to_json() for each in spans.sent())


def test_the_end_of_a_task_that_is_deleted_is_shown(spans: Spans, life: LedgerAndLife) -> None:
    apply(life)
    life.delete(name=UNBOUND, really=True)
    life.settle()

    assert [each for each in spans.told() if each not in ISSUED] == [
        ("agentid.issue", CALLER),
        ("agentid.end", CALLER),
        ("agentid.secret", "agentid.end"),
    ]
    assert dict(named(spans, "agentid.end").attributes or {})["agentid.reason"] == "Deleted"


@pytest.mark.parametrize("traceparent", [None, *NOT_VALID, f"00-{TRACE}-{CALLER}-01" + " " * 100])
def test_a_bad_annotation_is_ignored(spans: Spans, life: LedgerAndLife, traceparent: str | None) -> None:
    apply(life, traceparent)

    assert [each for each in spans.told() if each[0] == "agentid.issue"] == [("agentid.issue", "")]


def test_passes_that_give_and_end_nothing_are_not_shown(spans: Spans, life: LedgerAndLife) -> None:
    life.policy |= {"allowed": False, "message": "a rule forbids it"}
    apply(life)
    life.work_on(seconds=45)

    assert spans.told() == []


def test_a_status_that_is_not_written_makes_its_issue_failed(spans: Spans, life: LedgerAndLife) -> None:
    life.create_task(name=UNBOUND)
    for _ in range(50):
        life.pass_time(seconds=1)
        for sent in list(life.server.on_the_way):
            if sent.path == f"{PATH}/status":
                life.server.refuse(sent, ForbiddenError("RBAC says no"))
            else:
                life.server.deliver(sent)
        if life.leader.queue.retrying:
            break

    failed = {each.name: each.status for each in spans.sent() if each.status.status_code is StatusCode.ERROR}
    assert set(failed) == {"agentid.issue", "agentid.status"}
    assert all("RBAC says no" in (each.description or "") for each in failed.values())


def test_an_issue_that_loses_against_another_write_is_failed_and_the_next_is_not(
    spans: Spans, life: LedgerAndLife
) -> None:
    life.create_task(name=UNBOUND)
    lost = False
    for _ in range(50):
        life.pass_time(seconds=1)
        for sent in list(life.server.on_the_way):
            if sent.path == f"{PATH}/status" and not lost:
                lost = True
                life.server.put(PATH, life.server.objects[PATH])
            life.server.deliver(sent)
        if lost:
            break
    life.settle()

    issues = [each for each in spans.sent() if each.name == "agentid.issue"]
    assert [each.status.status_code for each in issues] == [StatusCode.ERROR, StatusCode.UNSET]
    assert "ConflictError" in (issues[0].status.description or "")
