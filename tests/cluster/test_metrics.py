"""Whatever tenants call things and however many there are: the labels of metrics come from fixed sets."""

import platform
import secrets
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from agentid.api.reasons import EndReason, IssueReason
from agentid.cluster.events import Outcome
from agentid.cluster.paths import AGENTS, PODS, TASKS
from agentid.ledger.record import LedgerKind
from agentid.lifecycle.journal import Kind
from agentid.sinks.sink import SinkName
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, agent, job, pod, service_account, task, task_of_job
from tests.laying_out import clear_workloads

MARK = "hostile"
"""Part of every name and text that a tenant chooses here."""
ODD_NAMES = (f"{MARK}--with--dashes", f"0-{MARK}-{'x' * 50}", f"{MARK}-le-0.5", f"{MARK}-reason-completed")
ODD_TEXT = f'{MARK}"}} 1 agentid_leader{{{MARK}="\\'
NAMESPACES = 3

FIXED: dict[str, set[str]] = {
    "result": {"success", "retry", "error"},
    "outcome": {each.value for each in Outcome},
    "resource": {each.plural for each in (TASKS, AGENTS, PODS)},
    "kind": {each.value for kinds in (Kind, LedgerKind) for each in kinds},
    "sink": {each.value for each in SinkName},
    "implementation": {platform.python_implementation()},
    **dict(
        zip(("major", "minor", "patchlevel"), map(set, zip(platform.python_version_tuple())), strict=True)
    ),
    "version": {platform.python_version()},
}
"""The values of each label, but of those that depend on the metric: `reason`, and `le` of a histogram."""
REASONS = {
    "agentid_credentials_issued": {each.value for each in IssueReason},
    "agentid_tasks_ended": {each.value for each in EndReason},
}
"""The values of `reason`."""


@pytest.fixture(scope="module")
def scraped(cluster: ControlPlane, node: str, operator_of_session: OperatorProcess) -> Iterator[str]:
    """What the operator tells after tasks with odd names and texts lived and ended in several namespaces."""
    assert node
    if not operator_of_session.alive():
        operator_of_session.start()
    operator_of_session.wait_ready()
    names = [f"{number}-{MARK}-{secrets.token_hex(20)}" for number in range(NAMESPACES)]
    places = [cluster.kubectl.in_namespace(name) for name in names]
    for here in places:
        cluster.kubectl.create({"kind": "Namespace", "metadata": {"name": here.namespace}})
        here.create([service_account(), agent(), agent(f"{MARK}-agent", owner=f"{MARK}@example.com")])
        begin(here)
    for here in places:
        end(here)
    yield operator_of_session.metrics()
    for here in places:
        clear_workloads(here)
        cluster.kubectl.delete("namespace", here.namespace, "--wait=false")


def begin(here: Kubectl) -> None:
    """Make tasks that get their credential, wait, and are refused it."""
    unknown = task(f"{MARK}-unknown")
    unknown["spec"]["agentRef"] = {"name": f"{MARK}-nobody"}
    ref = {"apiVersion": f"{MARK}.example.com/v1", "kind": "Hostile", "name": MARK}
    here.create(
        [
            *(
                task(name, intent={"purpose": ODD_TEXT, "actions": ["orders:read"]}, **ANY_POD)
                for name in ODD_NAMES
            ),
            *(pod(f"{MARK}.{number}", of=name) for number, name in enumerate(ODD_NAMES)),
            task_of_job(f"{MARK}-job"),
            job(f"{MARK}-job", of=f"{MARK}-job"),
            task(f"{MARK}-beyond", intent={"purpose": ODD_TEXT, "actions": [f"{MARK}:x"]}),
            task(f"{MARK}-kind", workload={"ref": ref}),
            unknown,
        ]
    )


def end(here: Kubectl) -> None:
    """Have each of them end in a way of its own, as far as it has begun."""
    for name in (*ODD_NAMES, f"{MARK}-job"):
        story.runs(here, name)
    one, two, three, four = ODD_NAMES
    playing.finish(here, f"{MARK}.0")
    playing.finish(here, f"{MARK}.1", "Failed", f"{MARK}-reason")
    here.patch("agenttask", three, {"spec": {"state": "Ended", "stateReason": ODD_TEXT}})
    here.patch("agenttask", four, {"spec": {"intent": {"purpose": f"{ODD_TEXT} again"}}})
    here.create(pod(f"{MARK}-second", of=f"{MARK}-job"))
    for name, reason in ((one, "Completed"), (two, "Failed"), (three, "Ended"), (f"{MARK}-job", "SecondPod")):
        story.ends(here, reason, name)
    here.wait_for("agenttask", four, lambda seen: seen["status"]["credentialGeneration"] == 2)
    here.delete("agenttask", four)
    story.secret_gone_or_empty(here, four)
    for name in ("beyond", "kind", "unknown"):
        here.wait_for("agenttask", f"{MARK}-{name}", story.standing)
    story.settled(here, one)


def allowed(family: str, label: str) -> set[str]:
    """The values that a label of a metric may have; none for a label that it may not have."""
    return REASONS.get(family, set()) if label == "reason" else FIXED.get(label, set())


def samples(text: str) -> Iterator[tuple[str, Sample]]:
    """Every sample, with the name of its metric."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield family.name, sample


def test_every_label_has_a_value_of_a_fixed_set(scraped: str) -> None:
    odd = {
        (sample.name, label, value)
        for family, sample in samples(scraped)
        for label, value in sample.labels.items()
        if value not in allowed(family, label) and (label, sample.name[-7:]) != ("le", "_bucket")
    }
    assert odd == set()


def test_every_limit_of_a_histogram_is_one_of_few_numbers(scraped: str) -> None:
    limits = {
        (family, float(sample.labels["le"])) for family, sample in samples(scraped) if "le" in sample.labels
    }
    families = {family for family, _ in limits}
    assert all(len([each for each in limits if each[0] == family]) <= 20 for family in families)


def test_nothing_that_a_tenant_wrote_is_in_the_metrics(scraped: str) -> None:
    assert "agentid_tasks_ended_total" in scraped
    assert MARK not in scraped.lower()


def test_what_happened_was_counted(scraped: str) -> None:
    ended = {
        sample.labels["reason"]
        for family, sample in samples(scraped)
        if family == "agentid_tasks_ended" and sample.value
    }
    assert ended >= {"Completed", "Failed", "Ended", "SecondPod", "Deleted"}
