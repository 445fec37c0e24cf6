"""Spans of a task's life at a receiver, under the span of whoever applied it, from its issue to its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.gate_process import GateProcess
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.ports import free_ports
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.deciding import answered, end, question, running, settings_for
from tests.cluster.objects import AGENT, TASK, task
from tests.span_receiver import LOOPBACK, Received, SpanReceiver, receiving

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
OTHER = "0af7651916cd43dd8448eb211c80319c"


def annotated(name: str, traceparent: str) -> Object:
    made = task(name)
    made["metadata"]["annotations"] = {"agentid.dev/traceparent": traceparent}
    return made


@pytest.fixture
def receiver() -> Iterator[SpanReceiver]:
    with receiving() as server:
        yield server


def operator_that_traces(
    cluster: ControlPlane, instead_of: OperatorProcess, endpoint: str
) -> Iterator[OperatorProcess]:
    if instead_of.alive():
        instead_of.terminate()
    settings = {
        "AGENTID_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    process = OperatorProcess(cluster, "traces", settings)
    process.start()
    yield process
    if process.alive():
        process.terminate()


@pytest.fixture
def tracing(
    cluster: ControlPlane, place: Kubectl, operator_of_session: OperatorProcess, receiver: SpanReceiver
) -> Iterator[OperatorProcess]:
    """An operator that sends spans to the receiver, instead of the session's."""
    assert place.namespace
    yield from operator_that_traces(cluster, operator_of_session, receiver.url)


@pytest.fixture
def unheard(
    cluster: ControlPlane, place: Kubectl, operator_of_session: OperatorProcess
) -> Iterator[OperatorProcess]:
    """One that sends them to where nobody is."""
    assert place.namespace
    (port,) = free_ports(1)
    yield from operator_that_traces(cluster, operator_of_session, f"http://{LOOPBACK}:{port}")


@pytest.fixture
def gate(
    cluster: ControlPlane, gate_kubeconfig: Path, asking_team: Kubectl, receiver: SpanReceiver
) -> Iterator[GateProcess]:
    """A decision point that sends spans to the receiver."""
    settings = {
        "AGENTID_GATE_TRACES": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    made = GateProcess(cluster, gate_kubeconfig, settings_for(asking_team.namespace) | settings)
    made.start()
    yield made
    made.terminate()


def arrived(receiver: SpanReceiver, name: str, trace: str = TRACE) -> Received:
    """Wait until a span of that name has come, and return it."""
    found = wait_until(
        f"{name} has come",
        lambda: [each for each in receiver.of(trace) if each.name == name],
        lambda seen: len(seen) == 1,
    )
    return found[0]


def under(receiver: SpanReceiver, span: Received) -> list[str]:
    return sorted(each.name for each in receiver.of(span.trace) if each.parent == span.span)


def test_issue_and_end_of_a_task_are_in_the_trace_of_whoever_applied_it(
    place: Kubectl, tracing: OperatorProcess, receiver: SpanReceiver
) -> None:
    assert tracing.alive()
    place.create([annotated(TASK, f"00-{TRACE}-{CALLER}-01")])
    begun = story.runs(place)
    issue = arrived(receiver, "agentid.issue")
    wait_until(
        "all that it did has come",
        lambda: under(receiver, issue),
        lambda seen: seen == ["agentid.ledger", "agentid.policy", "agentid.secret", "agentid.status"],
    )

    place.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    story.ends(place, "Ended")
    ended = arrived(receiver, "agentid.end")
    wait_until(
        "all that it did has come",
        lambda: under(receiver, ended),
        lambda seen: (
            [each for each in seen if each != "agentid.policy"]
            == ["agentid.ledger", "agentid.secret", "agentid.status"]
        ),
    )

    assert {each.service for each in receiver.spans} == {"agentid-operator"}
    assert {issue.parent, ended.parent} == {CALLER}
    assert {each.error for each in receiver.of(TRACE)} == {None}
    told = {
        "agentid.task.namespace": place.namespace,
        "agentid.task.name": TASK,
        "agentid.task.uid": begun["metadata"]["uid"],
        "agentid.agent": AGENT,
    }
    assert issue.attributes.items() >= told.items()
    assert ended.attributes.items() >= told.items()
    assert issue.attributes["agentid.serial"] == story.serials(begun)[0]
    assert (issue.attributes["agentid.decision"], ended.attributes["agentid.reason"]) == ("allow", "Ended")


def test_a_deleted_tasks_end_is_there_and_a_bad_annotation_changes_nothing(
    place: Kubectl, tracing: OperatorProcess, receiver: SpanReceiver
) -> None:
    place.create([annotated("good", f"00-{OTHER}-{CALLER}-01"), annotated("bad", f"00-{OTHER}-{CALLER}-zz")])
    story.runs(place, "good")
    uid = story.runs(place, "bad")["metadata"]["uid"]
    place.delete("agenttask", "good")

    ended = arrived(receiver, "agentid.end", OTHER)

    assert (ended.parent, ended.attributes["agentid.reason"]) == (CALLER, "Deleted")
    (bad,) = wait_until(
        "the other's issue has come",
        lambda: [each for each in receiver.spans if each.attributes.get("agentid.task.uid") == uid],
        lambda seen: len(seen) == 1,
    )
    assert (bad.parent, bad.trace == OTHER) == ("", False)
    assert tracing.metric("agentid_traces_lost_spans") == 0


def test_without_a_collector_tasks_begin_and_end_as_ever(place: Kubectl, unheard: OperatorProcess) -> None:
    place.create([annotated(TASK, f"00-{TRACE}-{CALLER}-01")])
    story.runs(place)
    place.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    story.ends(place, "Ended")
    story.secret_gone_or_empty(place)

    wait_until(
        "spans are counted as lost",
        lambda: unheard.metric("agentid_traces_lost_spans"),
        lambda lost: lost >= 5,
    )
    unheard.terminate()


def test_decisions_on_a_task_are_in_the_trace_of_whoever_asks(
    asking_team: Kubectl, gate: GateProcess, asker_token: str, receiver: SpanReceiver
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")

    gate.ask(asker_token, asked, traceparent=f"00-{TRACE}-{CALLER}-01")
    allowed = arrived(receiver, "agentid.decision")
    end(asking_team)
    answered(lambda: gate.ask(asker_token, asked), "TaskEnded")
    gate.ask(asker_token, asked, traceparent=f"00-{OTHER}-{CALLER}-01")
    denied = arrived(receiver, "agentid.decision", OTHER)

    assert (allowed.parent, denied.parent) == (CALLER, CALLER)
    assert (allowed.service, allowed.error, denied.error) == ("agentid-gate", None, None)
    said = [
        (each.attributes["agentid.decision"], each.attributes["agentid.reason"]) for each in (allowed, denied)
    ]
    assert said == [("allow", "Allowed"), ("deny", "TaskEnded")]
    assert allowed.attributes["agentid.task.name"] == TASK
    gate.terminate()
