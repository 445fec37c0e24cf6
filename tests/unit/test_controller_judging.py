"""The question that policy is asked about a task, and its answer in the words of a task's life."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentid.api.names import REQUIRE_POLICY_LABEL
from agentid.cluster.errors import ConnectionLostError
from agentid.controller import judging
from agentid.controller.judging import Judge
from agentid.lifecycle.consent import Approver, Consent
from agentid.lifecycle.model import Family, Judgement, Observation, PodPhase, PolicyAction
from agentid.policy import engine
from agentid.policy.judging import question_about
from agentid.policy.layer import Layer
from agentid.policy.question import Ancestor, Environment, Pod
from agentid.policy.vocabulary import Action
from agentid.watched.namespaces import Namespaces
from tests.unit.lifecycle_facts import (
    ALLOW,
    NOW,
    TASK_UID,
    after,
    asks,
    at,
    deleted,
    judged,
    observe,
    pod,
    running,
    static_secret,
    task_spec,
)
from tests.unit.lifecycle_family import STEP, child, lineage, parent
from tests.unit.policy_objects import BROKEN, FORBID, PERMIT, PERMIT_ALL, Installed, policy

IMAGES = ("registry.example.com/refund:v1",)
DIGESTS = (f"registry.example.com/refund@sha256:{'a' * 64}",)
ALICE = {"username": "alice@example.com", "groups": ["support"]}
NEW = observe(
    spec=task_spec(requester=ALICE),
    pods=[pod(images=IMAGES, running_images=DIGESTS, all_run=True)],
)
RUNNING = running(NEW)
ENVIRONMENT = Environment("prod.example.com", {"region": "eu"}, {"env": "test"})


class PanicError(BaseException):
    """What a panic of the engine is."""


class Labels(Namespaces):
    """The labels of namespaces, as they were seen."""

    def __init__(self, known: Mapping[str, Mapping[str, str]]) -> None:
        self.known = known

    def labels(self, namespace: str) -> Mapping[str, str] | None:
        return self.known.get(namespace)


class Unreachable(Labels):
    """No namespace can be looked at."""

    async def look_for(self, namespace: str) -> None:
        raise ConnectionLostError(f"no answer about {namespace}")


async def judge(
    observation: Observation, *bodies: dict[str, Any], labels: Mapping[str, str] | None = None
) -> Judgement | None:
    installed = Installed()
    for body in bodies:
        await installed.take(body)
    known = {} if labels is None else {"support": labels}
    return _judge(installed, known).judge(observation)


def _judge(installed: Installed, known: Mapping[str, Mapping[str, str]]) -> Judge:
    return Judge(
        installed.policies,
        Labels(known),
        trust_domain="prod.example.com",
        cluster_labels={"region": "eu"},
    )


async def answer(observation: Observation, *bodies: dict[str, Any], **labels: str) -> Judgement:
    said = await judge(observation, *bodies, labels=labels)
    assert said is not None
    return said


def test_question_is_the_task_as_it_is() -> None:
    asked = question_about(NEW, PolicyAction.ISSUE, ENVIRONMENT)
    assert asked.action is Action.ISSUE
    assert (asked.namespace, asked.task_name, asked.task_uid) == ("support", "refund-4711", TASK_UID)
    assert NEW.agent is not None
    assert (asked.task, asked.agent) == (NEW.task.spec, NEW.agent.spec)
    assert (asked.requester.username, asked.requester.groups) == ("alice@example.com", ("support",))
    assert (asked.delegator, asked.now, asked.environment) == ("carol@example.com", NOW, ENVIRONMENT)
    assert (asked.approvers, asked.ancestors) == ((), ())
    assert not asked.break_glass


@pytest.mark.parametrize("action", PolicyAction)
def test_images_that_run_are_asked_about_once_there_was_a_credential(action: PolicyAction) -> None:
    running_images = () if action is PolicyAction.ISSUE else DIGESTS
    assert question_about(NEW, action, ENVIRONMENT).pod == Pod("refund-agent", IMAGES, running_images)


def test_question_is_about_the_pod_that_would_get_the_credential() -> None:
    started = running(observe(spec=task_spec(workload=ALLOW), pods=[pod(images=IMAGES)]))
    for pods, images in (
        ((pod(1, images=IMAGES), pod(2, images=("other",))), IMAGES),
        ((pod(1, images=IMAGES, leaving=True), pod(2, images=("other",))), ("other",)),
    ):
        asked = question_about(replace(started, pods=pods), PolicyAction.ISSUE, ENVIRONMENT)
        assert asked.pod is not None
        assert asked.pod.images == images
    assert question_about(replace(started, pods=()), PolicyAction.ISSUE, ENVIRONMENT).pod is None
    alone = observe(spec=task_spec(workload=None), pods=[pod()])
    assert question_about(alone, PolicyAction.ISSUE, ENVIRONMENT).pod is None


@pytest.mark.parametrize("action", PolicyAction)
def test_while_the_next_pod_is_awaited_the_question_is_about_none_in_each_round(action: PolicyAction) -> None:
    started = running(observe(spec=task_spec(workload=ALLOW), pods=[pod(images=IMAGES)]))
    over = pod(images=IMAGES, phase=PodPhase.FAILED, containers_ended=True)
    first = judged(replace(started, pods=(over,)))
    second = after(first)
    assert second.task.status.bound_pod is None
    for facts in (first, second):
        assert question_about(facts, action, ENVIRONMENT).pod is None


def test_nobody_is_asked_about_who_did_not_ask() -> None:
    with pytest.raises(ValueError, match="requester"):
        question_about(observe(spec=task_spec(requester=None)), PolicyAction.ISSUE, ENVIRONMENT)
    with pytest.raises(ValueError, match="Agent"):
        question_about(replace(NEW, agent=None), PolicyAction.ISSUE, ENVIRONMENT)


@pytest.mark.parametrize("facts", [deleted(NEW), asks(NEW, state="Suspended"), replace(NEW, agent=None)])
async def test_what_nothing_depends_on_is_not_asked(facts: Observation) -> None:
    assert await judge(facts, policy(PERMIT), labels={}) is None


async def test_permit_allows_and_is_named() -> None:
    said = await answer(NEW, policy(PERMIT))
    assert said.allowed
    assert said.action is PolicyAction.ISSUE
    assert said.message == "allowed by ClusterAgentPolicy/default"
    assert said.policies == ("ClusterAgentPolicy/default/policy0",)
    assert (said.awaits_approval, said.in_doubt, said.holds_until) == (False, False, None)
    assert said.digest.startswith("sha256:")
    assert len(said.digest) == 71


async def test_who_works_for_somebody_else_has_to_be_allowed_to() -> None:
    only_issue = policy('permit(principal, action == Action::"issue", resource);')
    refused = await answer(NEW, only_issue)
    assert (refused.action, refused.allowed, refused.in_doubt) == (PolicyAction.ISSUE, False, False)
    for_nobody = observe(spec=task_spec(requester=ALICE, onBehalfOf=None), pods=NEW.pods)
    assert (await answer(for_nobody, only_issue)).allowed
    no_circles = policy("""permit(principal, action, resource);
forbid(principal, action == Action::"delegate", resource)
when { context.delegator == "carol@example.com" };""")
    assert not (await answer(NEW, no_circles)).allowed


async def test_approvals_that_count_are_asked_about_and_told_and_bound_the_answer_in_time() -> None:
    two = policy("""permit(principal, action, resource);
forbid(principal, action, resource)
unless { context.approvals >= 2 && context.approverGroups.contains("security") };""")
    erin, frank = Approver("erin@example.com", ("security",)), Approver("frank@example.com", ())
    until = NOW + timedelta(minutes=5)
    for approvers, allowed in (((), False), ((erin,), False), ((erin, frank), True)):
        consent = Consent(approvers=approvers, until=until if approvers else None)
        said = await answer(replace(NEW, consent=consent), two)
        assert (said.allowed, said.awaits_approval) == (allowed, not allowed)
        assert said.holds_until == consent.until
    assert (
        said.message
        == "allowed by ClusterAgentPolicy/default, approved by erin@example.com, frank@example.com"
    )


async def test_emergency_asks_the_cluster_alone_as_if_all_had_approved() -> None:
    spec = task_spec(
        requester=ALICE,
        breakGlass={"justification": "The payment provider is down."},
        credential={"renew": False},
    )
    facts = observe(spec=spec, pods=NEW.pods)
    own = policy(FORBID, namespace="support", name="own", uid="u-2")
    needs = policy("permit(principal, action, resource) when { context.approved && context.breakGlass };")
    assert (await answer(facts, needs, own)).allowed
    assert not (await answer(facts, policy(FORBID))).allowed
    ordinary = await answer(NEW, needs)
    assert (ordinary.allowed, ordinary.awaits_approval) == (False, False)


def test_question_about_a_child_has_those_above_it_and_a_step_is_where_its_parent_is() -> None:
    top = parent()
    for part, bound in ((STEP, True), ({"workload": None}, False)):
        task = child(top, 2, **part)
        family = Family(lineage(task, top), parents_pod=pod(101, images=IMAGES) if bound else None)
        asked = question_about(replace(observe(), task=task, family=family), PolicyAction.ISSUE, ENVIRONMENT)
        assert asked.ancestors == (Ancestor("task-1", top.uid, "refund-agent", "orchestrator"),)
        assert asked.delegator == "carol@example.com"
        assert (asked.task.workload is not None) == bound
        assert asked.pod == (Pod("refund-agent", IMAGES) if bound else None)


async def test_digest_is_another_for_other_policies() -> None:
    bodies = [policy(PERMIT), policy(PERMIT_ALL), policy(FORBID, name="x", uid="u-2")]
    own = policy(PERMIT, namespace="support", name="own", uid="u-3")
    sets = [bodies[:1], bodies[1:2], bodies[1:], [bodies[0], own]]
    digests = {(await answer(NEW, *each)).digest for each in sets}
    assert len(digests) == len(sets)
    assert (await answer(NEW, bodies[0])).digest in digests


async def test_answer_is_about_what_is_asked() -> None:
    due = at(RUNNING, 211)
    assert (await answer(RUNNING, policy(PERMIT))).allowed
    said = await answer(due, policy(PERMIT + FREEZE_RENEWAL))
    assert (said.action, said.allowed) == (PolicyAction.RENEW, False)
    renewed = after(due)
    said = await answer(renewed, policy(PERMIT))
    assert (said.action, said.allowed) == (PolicyAction.RENEW, False)
    resumed = asks(after(asks(RUNNING, state="Suspended")), state="Active")
    said = await answer(resumed, policy(PERMIT))
    assert (said.action, said.allowed) == (PolicyAction.RESUME, False)


FORBID_BAD = f"""@id("recalled")
forbid(principal, action in [Action::"renew", Action::"resume"], resource)
when {{ context.runningImages.containsAny(["{DIGESTS[0]}"]) }};
"""
FREEZE_RENEWAL = 'forbid(principal, action == Action::"renew", resource);'
FREEZE = '@id("freeze") forbid(principal, action == Action::"issue", resource);'


async def test_rule_about_renewals_takes_a_first_credential_as_soon_as_its_containers_run() -> None:
    said = await answer(RUNNING, policy(PERMIT_ALL + FORBID_BAD))
    assert (said.action, said.allowed) == (PolicyAction.RENEW, False)
    assert said.policies == ("ClusterAgentPolicy/default/recalled",)
    starting = replace(RUNNING, pods=(pod(images=IMAGES),))
    said = await answer(starting, policy(PERMIT_ALL + FORBID_BAD))
    assert (said.action, said.allowed) == (PolicyAction.ISSUE, True)


async def test_rule_that_forbids_to_issue_lets_go_on_what_runs() -> None:
    assert not (await answer(NEW, policy(PERMIT_ALL + FREEZE))).allowed
    said = await answer(RUNNING, policy(PERMIT_ALL + FREEZE))
    assert (said.action, said.allowed) == (PolicyAction.RENEW, True)


async def test_credential_that_may_be_issued_and_of_whose_renewal_no_rule_speaks_stays_for_its_life() -> None:
    for facts in (RUNNING, at(RUNNING, 211), at(RUNNING, 300)):
        said = await answer(facts, policy(PERMIT))
        assert (said.action, said.allowed) == (PolicyAction.ISSUE, True)
    assert not (await answer(RUNNING, policy(PERMIT + FREEZE))).allowed
    own = policy(PERMIT, namespace="support", name="own", uid="u-3")
    assert (await answer(RUNNING, policy(PERMIT_ALL), own)).allowed
    forbidden = policy(FORBID_BAD, namespace="support", name="own", uid="u-3")
    assert not (await answer(RUNNING, policy(PERMIT), forbidden)).allowed


async def test_credential_that_stays_is_asked_about_again_when_its_renewal_may_be_permitted() -> None:
    later = 'context.time >= datetime("2026-05-31T14:04:00Z")'
    renew = f'permit(principal, action == Action::"renew", resource) when {{ {later} }};'
    said = await answer(at(RUNNING, 211), policy(PERMIT + renew))
    assert (said.action, said.allowed) == (PolicyAction.ISSUE, True)
    assert said.holds_until == NOW + timedelta(seconds=240)
    said = await answer(at(RUNNING, 240), policy(PERMIT + renew))
    assert (said.action, said.allowed) == (PolicyAction.RENEW, True)


async def test_rule_on_renewals_that_cannot_be_evaluated_is_not_passed_over() -> None:
    too_large = "9223372036854775807 + context.hour > 0"
    overflow = f'forbid(principal, action == Action::"renew", resource) when {{ {too_large} }};'
    said = await answer(RUNNING, policy(PERMIT + overflow))
    assert (said.allowed, said.in_doubt) == (False, True)


RESUME_ALL = 'permit(principal, action in [Action::"resume", Action::"delegate"], resource);\n'
ISSUE_SOME = """@id("small")
permit(principal, action == Action::"issue", resource)
when { resource.purpose == "Refund order 4711" && context.time < datetime("2026-05-31T14:10:00Z") &&
  context.images.containsAll(["registry.example.com/refund:v1"]) };
"""
SUSPENDED = after(asks(RUNNING, state="Suspended", requester=ALICE))
OTHER_PURPOSE = {"purpose": "Refund everything", "actions": ["orders:read"]}


async def test_suspended_task_that_goes_on_as_it_was_is_asked_about_as_resumed_alone() -> None:
    said = await answer(asks(SUSPENDED, state="Active", requester=ALICE), policy(RESUME_ALL))
    assert (said.action, said.allowed) == (PolicyAction.RESUME, True)


async def test_intent_that_was_changed_while_suspended_has_to_be_allowed_as_a_new_one_is() -> None:
    changed = asks(SUSPENDED, state="Active", requester=ALICE, intent=OTHER_PURPOSE)
    said = await answer(changed, policy(RESUME_ALL + ISSUE_SOME))
    assert (said.action, said.allowed, said.in_doubt) == (PolicyAction.RESUME, False, False)
    assert said.message.startswith("No rule of ClusterAgentPolicy/default permits it.")
    said = await answer(changed, policy(RESUME_ALL + PERMIT))
    assert (said.action, said.allowed) == (PolicyAction.RESUME, True)
    assert said.policies == ("ClusterAgentPolicy/default/policy0", "ClusterAgentPolicy/default/policy1")
    # And what may not be resumed is not, whatever its intent is now.
    assert not (await answer(changed, policy(PERMIT))).allowed


async def test_pod_that_was_replaced_while_suspended_has_to_be_allowed_as_a_new_one_is() -> None:
    suspended = after(
        asks(
            running(observe(spec=task_spec(workload=ALLOW), pods=[pod(images=IMAGES)])),
            state="Suspended",
            workload=ALLOW,
        )
    )
    resumed = asks(suspended, state="Active", workload=ALLOW)
    for images, allowed in ((IMAGES, True), (("other",), False)):
        facts = replace(resumed, pods=(pod(2, images=images),))
        said = await answer(facts, policy(RESUME_ALL + ISSUE_SOME))
        assert (said.action, said.allowed) == (PolicyAction.RESUME, allowed)
    facts = replace(resumed, pods=(pod(2, images=IMAGES),))
    said = await answer(facts, policy(RESUME_ALL + ISSUE_SOME))
    assert said.holds_until == NOW + timedelta(minutes=10)


async def test_denial_is_sure_and_says_what_to_do() -> None:
    text = '@id("frozen") @advice("Wait until Monday.") ' + FORBID
    said = await answer(NEW, policy(PERMIT + text))
    assert (said.allowed, said.awaits_approval, said.in_doubt) == (False, False, False)
    assert said.message == 'ClusterAgentPolicy/default, rule "frozen" forbids it. Wait until Monday.'
    assert said.policies == ("ClusterAgentPolicy/default/frozen",)


async def test_nothing_installed_denies_and_says_what_to_install() -> None:
    said = await answer(NEW)
    assert (said.allowed, said.awaits_approval, said.in_doubt) == (False, False, False)
    assert said.message.startswith("No ClusterAgentPolicy is installed, so nothing is allowed.")


async def test_never_accepted_policy_alone_denies() -> None:
    said = await answer(NEW, policy(BROKEN))
    assert (said.allowed, said.awaits_approval, said.in_doubt) == (False, False, False)


async def test_approval_is_awaited_where_it_would_help() -> None:
    approved = "permit(principal, action, resource) when { context.approved };"
    said = await answer(NEW, policy(approved))
    assert (said.allowed, said.awaits_approval, said.in_doubt) == (False, True, False)
    assert "allows it only with an approval" in said.message
    assert not (await answer(NEW, policy(approved + FORBID))).awaits_approval


async def test_labels_that_are_not_known_deny_in_doubt() -> None:
    said = await judge(NEW, policy(PERMIT), labels=None)
    assert said is not None
    assert (said.allowed, said.in_doubt) == (False, True)
    assert said.message == "the labels of namespace support are not known yet"


async def test_namespace_that_cannot_be_looked_at_stays_unknown_and_keeps_nothing_else_waiting() -> None:
    judging = Judge(Installed().policies, Unreachable({}), trust_domain="d.example", cluster_labels={})
    with capture_logs() as logs:
        await judging.prepare("support")
    assert [each["event"] for each in logs] == ["namespace could not be looked at"]
    said = judging.judge(NEW)
    assert said is not None
    assert (said.allowed, said.in_doubt) == (False, True)


async def test_labels_of_cluster_and_namespace_are_asked_about() -> None:
    text = (
        "permit(principal, action, resource) when {"
        ' context.environment.clusterLabels.hasTag("region") &&'
        ' context.environment.clusterLabels.getTag("region") == "eu" &&'
        ' context.environment.namespaceLabels.hasTag("env") &&'
        ' context.environment.namespaceLabels.getTag("env") == "test" &&'
        ' context.environment.trustDomain == "prod.example.com" };'
    )
    assert (await answer(NEW, policy(text), env="test")).allowed
    assert not (await answer(NEW, policy(text), env="prod")).allowed
    assert not (await answer(NEW, policy(text))).allowed


async def test_namespace_that_requires_policy_denies_without_one() -> None:
    installed = Installed()
    await installed.take(policy(PERMIT))
    own = policy(PERMIT, namespace="support", name="own", uid="u-2")
    required = _judge(installed, {"support": {REQUIRE_POLICY_LABEL: "true"}})
    free = _judge(installed, {"support": {}})

    def answers() -> list[bool]:
        return [said.allowed for each in (required, free) if (said := each.judge(NEW)) is not None]

    assert answers() == [False, True]
    await installed.take(own)
    assert answers() == [True, True]
    await installed.drop(own)
    assert answers() == [False, True]


async def test_policy_of_another_namespace_has_no_say() -> None:
    assert (await answer(NEW, policy(PERMIT), policy(FORBID, namespace="other", uid="u-2"))).allowed
    assert not (await answer(NEW, policy(PERMIT), policy(FORBID, namespace="support", uid="u-2"))).allowed


async def test_policy_whose_accepted_text_cannot_be_read_denies_in_doubt_whatever_others_permit() -> None:
    status = {"accepted": {"cedar": BROKEN, "digest": f"sha256:{'0' * 64}", "generation": 1, "rules": 1}}
    lost = policy(BROKEN, name="freeze", uid="u-2", generation=2, status=status)
    said = await answer(NEW, policy(PERMIT), lost)
    assert (said.allowed, said.in_doubt, said.awaits_approval) == (False, True, False)
    assert "ClusterAgentPolicy/freeze" in said.message


async def test_condition_that_cannot_be_evaluated_denies_in_doubt() -> None:
    overflow = f"permit(principal, action, resource) when {{ resource.depth + {2**63 - 1} + 1 > 0 }};"
    said = await answer(NEW, policy(PERMIT + overflow))
    assert (said.allowed, said.in_doubt, said.awaits_approval) == (False, True, False)


async def test_engine_that_fails_denies_in_doubt_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> None:
        raise PanicError("index out of bounds")

    monkeypatch.setattr(engine.cedarpy, "is_authorized", panic)
    said = await answer(NEW, policy(PERMIT))
    assert (said.allowed, said.in_doubt, said.awaits_approval) == (False, True, False)
    assert said.holds_until == NOW + timedelta(minutes=1)


@pytest.mark.parametrize("error", [ValueError("a policy stands twice"), PanicError("index out of bounds")])
async def test_question_that_cannot_be_put_denies_in_doubt(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(judging, "judge", fails)
    with capture_logs() as logs:
        said = await answer(NEW, policy(PERMIT))
    assert (said.allowed, said.in_doubt, said.awaits_approval) == (False, True, False)
    assert type(error).__name__ in said.message
    assert said.holds_until == NEW.now + timedelta(minutes=1)
    assert [each["event"] for each in logs] == ["policy could not be asked"]


@pytest.mark.parametrize("error", [ValueError("a policy stands twice"), PanicError("index out of bounds")])
async def test_layer_that_cannot_be_put_together_denies_in_doubt(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(Layer, "of", fails)
    with capture_logs() as logs:
        said = await answer(NEW, policy(PERMIT))
    assert (said.allowed, said.in_doubt, said.awaits_approval) == (False, True, False)
    assert [each["event"] for each in logs] == ["policies could not be put together"]


async def test_end_of_the_process_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(judging, "judge", ends)
    with pytest.raises(SystemExit):
        await answer(NEW, policy(PERMIT))


async def test_decision_that_time_turns_says_when() -> None:
    until = 'permit(principal, action, resource) when { context.time < datetime("2026-05-31T14:10:00Z") };'
    said = await answer(NEW, policy(until))
    assert said.allowed
    assert said.holds_until == NOW + timedelta(minutes=10)
    assert said.holds_until is not None
    turned = await answer(replace(NEW, now=said.holds_until), policy(until))
    assert not turned.allowed


async def test_same_answer_at_another_time_reads_the_same() -> None:
    for text in (PERMIT, FORBID, "permit(principal, action, resource) when { context.approved };"):
        first = await answer(NEW, policy(text))
        assert first == await answer(at(NEW, 30), policy(text))


async def test_judgement_decides_as_it_was_made() -> None:
    """The answer of a real policy, put into a task's life."""
    said = await answer(RUNNING, policy(FORBID))
    over = after(replace(RUNNING, judgement=said))
    assert over.task.status.credentials == []
    assert over.task.status.end_time == NOW


CRM = observe(
    spec=task_spec(requester=ALICE, staticSecrets=[{"name": "legacy-crm-key"}, {"name": "payments"}]),
    pods=[pod(images=IMAGES, running_images=DIGESTS)],
    static_secrets=[static_secret(), static_secret("payments")],
)
USE = """@id("crm")
permit(principal, action == Action::"useSecret", resource) when {
  ["legacy-crm-key"].contains(context.secret.name) && context.secret.maxTTLSeconds == 3600 &&
  resource.staticSecrets.contains("payments")
};
"""


async def test_each_static_secret_is_asked_about_beside_the_task() -> None:
    said = await answer(CRM, policy(PERMIT + USE.replace('"]', '", "payments"]')))
    assert said.allowed
    assert said.secrets == {"legacy-crm-key", "payments"}
    assert said.action is PolicyAction.ISSUE
    assert "ClusterAgentPolicy/default/crm" in said.policies


async def test_one_static_secret_that_is_not_allowed_denies_the_task() -> None:
    for cedar in (PERMIT, PERMIT + USE):
        said = await answer(CRM, policy(cedar))
        assert (said.allowed, said.action) == (False, PolicyAction.ISSUE)


async def test_namespaces_policies_have_a_say_in_static_secrets() -> None:
    said = await answer(CRM, policy(PERMIT_ALL), policy(PERMIT, uid="u-2", namespace="support"))
    assert not said.allowed


async def test_static_secret_that_needs_an_approval_lets_the_task_wait_for_one() -> None:
    approved = 'permit(principal, action == Action::"useSecret", resource) when { context.approved };'
    said = await answer(CRM, policy(PERMIT + approved))
    assert (said.allowed, said.awaits_approval) == (False, True)


async def test_static_secret_whose_permission_ends_is_asked_about_again_then() -> None:
    until = (
        'permit(principal, action == Action::"useSecret", resource) '
        'when { context.time < datetime("2026-05-31T14:10:00Z") };'
    )
    said = await answer(CRM, policy(PERMIT + until))
    assert said.allowed
    assert said.holds_until == NOW + timedelta(minutes=10)


async def test_policy_that_forbids_the_secret_is_heard_by_a_running_task() -> None:
    forbid = 'forbid(principal, action == Action::"useSecret", resource);'
    said = await answer(running(CRM), policy(PERMIT_ALL + forbid))
    assert not said.allowed


async def test_policy_is_not_asked_about_a_secret_that_is_not_there() -> None:
    said = await answer(replace(CRM, static_secrets=(static_secret(spec=None),)), policy(PERMIT))
    assert said.allowed
    assert said.secrets == frozenset()


async def test_whoever_has_a_say_beside_policy_is_asked_about_static_secrets_too() -> None:
    installed = Installed()
    await installed.take(policy(PERMIT_ALL))
    judge = _judge(installed, {"support": {}})
    asked = judge.requests(replace(CRM, judgement=judge.judge(CRM)))
    assert [(each.action["id"], each.context.get("secret")) for each in asked] == [
        ("issue", None),
        ("useSecret", {"name": "legacy-crm-key", "maxTTLSeconds": 3600}),
        ("useSecret", {"name": "payments", "maxTTLSeconds": 3600}),
    ]


async def test_an_approval_of_the_task_is_one_of_its_static_secrets() -> None:
    given = Consent((Approver("erin@example.com", ()),), until=NOW + timedelta(hours=1))
    approved = 'permit(principal, action == Action::"useSecret", resource) when { context.approved };'
    spec = task_spec(requester=ALICE, staticSecrets=[{"name": "legacy-crm-key"}], onBehalfOf=None)
    asked = observe(spec=spec, pods=[pod()], static_secrets=[static_secret()])
    said = await answer(replace(asked, consent=given), policy(PERMIT + approved))
    assert said.allowed
    assert said.secrets == {"legacy-crm-key"}
    assert said.holds_until == NOW + timedelta(hours=1)
    assert not (await answer(asked, policy(PERMIT + approved))).allowed
