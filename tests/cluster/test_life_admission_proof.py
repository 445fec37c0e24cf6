"""Nothing is issued while any admission rule is missing or weaker than installed; ends go on all the same."""

from collections.abc import Iterator
from typing import Any

import pytest

from agentid.api.admission import AdmissionObject, AdmissionSettings, rules
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, POD, TASK, agent, pod, task
from tests.cluster.unguarded import as_written, put_back

RULES = rules(AdmissionSettings(NAMESPACE, SERVICE_ACCOUNT))
OFTEN = {"AGENTID_ADMISSION_PROOF_SECONDS": "1"}

WEAKENINGS: dict[str, dict[str, Any]] = {
    "ValidatingAdmissionPolicy": {"failurePolicy": "Ignore"},
    "MutatingAdmissionPolicy": {"failurePolicy": "Ignore"},
    "ValidatingAdmissionPolicyBinding": {"validationActions": ["Audit"]},
    "MutatingAdmissionPolicyBinding": {
        "matchResources": {"namespaceSelector": {"matchLabels": {"agentid.dev/nowhere": "true"}}}
    },
}


@pytest.fixture(scope="module")
def watchful(operator_of_session: OperatorProcess) -> Iterator[OperatorProcess]:
    """The operator, which looks every second whether admission is in force."""
    if operator_of_session.alive():
        operator_of_session.terminate()
    operator_of_session.start(OFTEN)
    yield operator_of_session
    operator_of_session.terminate()


def blocked(operator: OperatorProcess, says: str) -> None:
    """Wait until the operator issues nothing and says why."""
    wait_until(
        f"/readyz says {says}", operator.why_not_ready, lambda seen: says in seen and not operator.ready()
    )
    assert operator.metric("agentid_admission_in_force") == 0
    assert operator.healthy()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.name}")
def test_removing_or_weakening_a_rule_stops_issuance_and_restoring_it_resumes(
    place: Kubectl, admin: Kubectl, watchful: OperatorProcess, rule: AdmissionObject
) -> None:
    watchful.wait_ready()
    kind, title = f"{rule.kind.lower()}.admissionregistration.k8s.io", f"{rule.kind} {rule.name}"
    installed = admin.get(kind, rule.name)
    # Made before, because without some of the rules nobody can make a task at all.
    place.create(task(agentRef={"name": "later"}))
    story.stands(place, "AwaitingAgent")
    try:
        admin.patch(kind, rule.name, {"spec": WEAKENINGS[rule.kind]})
        blocked(watchful, f"{title} is not as installed")
        place.create(agent("later"))
        waiting = story.stands(place, "IssuanceBlocked")
        assert title in story.conditions(waiting)["Finished"]["message"]
        assert story.serials(waiting) == []
        assert place.find("secret", f"agentid-{TASK}") is None

        admin.delete(kind, rule.name)
        blocked(watchful, f"{title} is missing")
    finally:
        if admin.find(kind, rule.name) is not None:
            admin.delete(kind, rule.name)
        put_back(admin, as_written(installed))
    watchful.wait_ready()
    assert watchful.metric("agentid_admission_in_force") == 1
    story.runs(place)


def test_ends_go_on_while_nothing_is_issued(
    place: Kubectl, admin: Kubectl, watchful: OperatorProcess
) -> None:
    watchful.wait_ready()
    place.create([task(**ANY_POD), pod(), task("suspended"), task("changed")])
    for name in (TASK, "suspended", "changed"):
        story.runs(place, name)
    place.patch("agenttask", "suspended", {"spec": {"state": "Suspended"}})
    story.stands(place, "Suspended", "suspended")
    kind = "validatingadmissionpolicybinding"
    installed = admin.get(kind, "pod-label.agentid.dev")
    admin.delete(kind, "pod-label.agentid.dev")
    try:
        blocked(watchful, "is missing")

        playing.finish(place, POD)
        story.ends(place, "Completed")
        story.secret_gone(place)
        place.patch("agenttask", "suspended", {"spec": {"state": "Active"}})
        resumed = story.stands(place, "IssuanceBlocked", "suspended")
        place.patch("agenttask", "changed", {"spec": {"intent": {"actions": ["refunds:create"]}}})
        changed = story.stands(place, "IssuanceBlocked", "changed")
        story.secret_gone(place, "changed")
        assert story.serials(resumed) == story.serials(changed) == []
    finally:
        put_back(admin, as_written(installed))
    watchful.wait_ready()
    for name in ("suspended", "changed"):
        story.runs(place, name)
    event = story.told(place, place.get("agenttask", "changed"), at_least=2)[1]
    assert (event.reason, event.action, event.kind) == ("IssuanceBlocked", "Revoke", "Warning")
