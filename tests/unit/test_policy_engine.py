"""The decision: both layers must allow, approval is asked about, and whatever goes wrong denies."""

from dataclasses import replace
from typing import Any

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.policy import engine, wording
from agentid.policy.accept import accept
from agentid.policy.decision import Reason
from agentid.policy.engine import decide
from agentid.policy.layer import Layer, LayerName
from agentid.policy.load import Load
from agentid.policy.question import Environment, Person
from tests.unit.policy_questions import NOTHING, NOW, PERMIT, cluster, namespace, question, when

BOB = Person("bob@example.com", ("security",))
ERIN = Person("erin@example.com")
OVERFLOWS = "resource.sensitivity + 9223372036854775807 > 0"
FORBID = "forbid(principal, action, resource)"
REQUIRED = Environment("example.org", {}, {"agentid.dev/require-policy": ""})


def test_nothing_installed_denies_and_says_what_to_install() -> None:
    decision = decide(question(), NOTHING, namespace(f"{PERMIT};"))

    assert not decision.allowed
    assert decision.reason is Reason.NO_CLUSTER_POLICY
    assert decision.message == (
        "No ClusterAgentPolicy is installed, so nothing is allowed. Have the platform team apply one; "
        "deploy/policies/default.cedar is a start."
    )


@pytest.mark.parametrize(
    ("of_cluster", "of_namespace", "reason", "rules"),
    [
        (f"{PERMIT};", None, Reason.ALLOWED, ["ClusterAgentPolicy/p0/policy0"]),
        (
            f"{PERMIT};",
            f'@id("ours") {PERMIT};',
            Reason.ALLOWED,
            ["ClusterAgentPolicy/p0/policy0", "AgentPolicy/p0/ours"],
        ),
        (f"{PERMIT};", when("false"), Reason.NO_PERMIT, []),
        (when("false"), f"{PERMIT};", Reason.NO_PERMIT, []),
        ("// none", f"{PERMIT};", Reason.NO_PERMIT, []),
        (f"{PERMIT}; {FORBID};", f"{PERMIT};", Reason.FORBIDDEN, ["ClusterAgentPolicy/p0/policy1"]),
        (f"{PERMIT};", f'@id("no") {FORBID};', Reason.FORBIDDEN, ["AgentPolicy/p0/no"]),
    ],
)
def test_both_layers_must_allow(
    of_cluster: str, of_namespace: str | None, reason: Reason, rules: list[str]
) -> None:
    decision = decide(question(), cluster(of_cluster), namespace(of_namespace) if of_namespace else NOTHING)

    assert decision.reason is reason
    assert decision.allowed == (reason is Reason.ALLOWED)
    assert list(decision.determined_by) == rules


def test_all_policies_of_a_layer_count_together() -> None:
    permitting, forbidding = f"{PERMIT};", f"{FORBID} when {{ resource.sensitivity > 1 }};"

    assert decide(question("Internal"), cluster(permitting, forbidding), NOTHING).allowed
    denied = decide(question("Confidential"), cluster(permitting, forbidding), NOTHING)
    assert denied.determined_by == ("ClusterAgentPolicy/p1/policy0",)
    assert denied.message == 'ClusterAgentPolicy/p1, rule "policy0" forbids it.'


def test_a_labelled_namespace_without_a_policy_denies() -> None:
    allowed = cluster(f"{PERMIT};")

    decision = decide(question(environment=REQUIRED), allowed, NOTHING)

    assert (decision.allowed, decision.reason) == (False, Reason.NO_NAMESPACE_POLICY)
    assert decision.message == wording.INSTALL_NAMESPACE_POLICY
    assert decide(question(environment=REQUIRED), allowed, namespace(f"{PERMIT};")).allowed


def test_a_namespace_whose_policies_were_never_accepted_denies() -> None:
    layer = Layer.of([], never_accepted=["AgentPolicy/typo"])

    decision = decide(question(), cluster(f"{PERMIT};"), layer)

    assert decision.reason is Reason.NO_PERMIT
    assert decision.message.startswith("No rule of AgentPolicy/typo permits it.")


def test_a_layer_that_is_too_large_to_be_asked_denies() -> None:
    text = f"{PERMIT}; //{'x' * 60_000}"
    just, beyond = namespace(text), namespace(text, text)

    assert decide(question(), cluster(*[text] * 4), just).allowed
    decision = decide(question(), cluster(f"{PERMIT};"), beyond)
    assert (decision.allowed, decision.reason) == (False, Reason.TOO_MUCH_POLICY)
    assert "bytes of text (at most 65536). Delete what is not needed." in decision.message
    assert not decide(question(), cluster(*[text] * 5), NOTHING).allowed


def test_a_layer_of_too_many_objects_or_with_one_that_was_not_looked_through_denies() -> None:
    texts = [f"{PERMIT};"] * 65
    assert decide(question(), cluster(*texts), namespace(*texts[:64])).allowed
    partial = Layer.of([accept("AgentPolicy/a", f"{PERMIT};")], beyond={"AgentPolicy/b": Load(objects=1)})
    for layer in (namespace(*texts), partial):
        decision = decide(question(), cluster(f"{PERMIT};"), layer)
        assert (decision.allowed, decision.reason) == (False, Reason.TOO_MUCH_POLICY)


def test_of_many_rules_some_are_told() -> None:
    forbidding = "\n".join(f'@id("r{n:02}") @advice("Do {n}.") {FORBID};' for n in range(20))

    decision = decide(question(), cluster(f"{PERMIT};", forbidding), NOTHING)

    assert len(decision.determined_by) == 20
    assert decision.message.count("rule") == 5
    assert "; 15 more forbids it. Do 0. Do 1." in decision.message


def test_an_agent_policy_is_not_taken_for_one_of_the_cluster() -> None:
    decision = decide(question(), cluster(f"{PERMIT};"), namespace(when("resource.sensitivity > 2")))

    assert [(each.layer, each.allowed) for each in decision.layers] == [
        (LayerName.CLUSTER, True),
        (LayerName.NAMESPACE, False),
    ]


@pytest.mark.parametrize(
    "text",
    [
        when(OVERFLOWS),
        f"{PERMIT}; {FORBID} when {{ {OVERFLOWS} }};",
        f"{PERMIT}; {when(OVERFLOWS)}",
        f"{PERMIT}; {FORBID} unless {{ {OVERFLOWS} }};",
    ],
)
def test_a_condition_that_fails_denies_whatever_else_permits(text: str) -> None:
    decision = decide(question(), cluster(text), namespace(f"{PERMIT};"))

    assert (decision.allowed, decision.reason) == (False, Reason.POLICY_ERROR)
    assert "integer overflow" in decision.message
    assert "ClusterAgentPolicy/p0" in decision.message
    assert not decide(question(), cluster(f"{PERMIT};"), namespace(text)).allowed


def test_cedar_alone_would_have_let_the_permit_win() -> None:
    # What the rule above guards against: the reason why an answer with errors is not believed.
    text = f"{PERMIT}; {FORBID} when {{ 1 + 9223372036854775807 > 0 }};"
    request = {"principal": 'Agent::"a"', "action": 'Action::"issue"', "resource": 'Task::"t"', "context": {}}

    result = cedarpy.is_authorized(request, text, [])

    assert result.allowed
    assert result.diagnostics.errors


class PanicException(BaseException):
    """Like the one of PyO3, which is no Exception either."""


@pytest.mark.parametrize("error", [PanicException("engine"), ValueError("engine"), MemoryError("engine")])
def test_a_crash_of_the_engine_denies(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> Any:  # noqa: ANN401 - in place of cedarpy's
        raise error

    monkeypatch.setattr(cedarpy, "is_authorized", crash)

    decision = decide(question(), cluster(f"{PERMIT};"), NOTHING)

    assert (decision.allowed, decision.reason) == (False, Reason.ENGINE_ERROR)
    assert f"{type(error).__name__}: engine" in decision.message
    assert decision.holds_until == NOW + engine.ASK_AGAIN_AFTER


def test_a_crash_while_the_entities_are_read_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> Any:  # noqa: ANN401 - in place of cedarpy's
        raise PanicException("entities")

    monkeypatch.setattr(cedarpy.Entities, "from_json_str", crash)

    asked = question(task_uid="of a task that was never asked about")
    decision = decide(asked, cluster(f"{PERMIT};"), NOTHING)

    assert (decision.allowed, decision.reason) == (False, Reason.ENGINE_ERROR)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_not_held_up(
    ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: object) -> Any:  # noqa: ANN401 - in place of cedarpy's
        raise ending

    monkeypatch.setattr(cedarpy, "is_authorized", end)

    with pytest.raises(ending):
        decide(question(), cluster(f"{PERMIT};"), NOTHING)


@pytest.mark.parametrize(
    "changes",
    [
        {"requester": Person("alice\ud800")},
        {"requester": Person(None)},
        {"namespace": "a\ud800"},
        {"environment": Environment("example.org", {"a": 1}, {})},
        {"audiences": (1,)},
        {"now": NOW.replace(tzinfo=None), "pod": 5},
        {"task_uid": None},
        {"secret": "not an AgentSecret"},
        {"action": "unheard-of"},
    ],
    ids=repr,
)
def test_a_fact_that_does_not_fit_the_schema_denies(changes: dict[str, Any]) -> None:
    decision = decide(replace(question(), **changes), cluster(f"{PERMIT};"), NOTHING)

    assert (decision.allowed, decision.reason) == (False, Reason.ENGINE_ERROR)


def test_an_answer_without_a_rule_behind_it_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = cedarpy.AuthzResult({"decision": "Allow", "diagnostics": {"reason": [], "errors": []}})
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: empty)

    assert not decide(question(), cluster(f"{PERMIT};"), NOTHING).allowed


def test_no_decision_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    none = cedarpy.AuthzResult({"decision": "NoDecision", "diagnostics": {"reason": ["x"], "errors": []}})
    monkeypatch.setattr(cedarpy, "is_authorized", lambda *_: none)

    decision = decide(question(), cluster(f"{PERMIT};"), NOTHING)

    assert (decision.allowed, decision.reason) == (False, Reason.ENGINE_ERROR)
    assert (
        decision.message
        == "Denied, as the policy engine gave no answer for the cluster's policies: no decision"
    )


def test_what_approval_would_allow_waits_and_names_the_rule() -> None:
    text = '@id("careful") @advice("Ask security.") ' + when("resource.sensitivity < 3 || context.approved")
    layers = cluster(text), NOTHING

    decision = decide(question("Restricted"), *layers)

    assert (decision.allowed, decision.reason) == (False, Reason.NEEDS_APPROVAL)
    assert decision.need is not None
    assert (decision.need.approvals, decision.need.rules) == (1, ("ClusterAgentPolicy/p0/careful",))
    assert decision.message == (
        'ClusterAgentPolicy/p0, rule "careful" allows it only with an approval. Ask security.'
    )
    assert decide(question("Restricted", approvers=(BOB,)), *layers).allowed


def test_where_no_approval_helps_none_is_waited_for() -> None:
    decision = decide(question("Restricted"), cluster(when("resource.sensitivity < 3")), NOTHING)

    assert decision.reason is Reason.NO_PERMIT
    assert decision.need is None


def test_an_approval_helps_only_if_both_layers_then_allow() -> None:
    approved = when("context.approved")

    assert decide(question(), cluster(approved), namespace(approved)).reason is Reason.NEEDS_APPROVAL
    assert decide(question(), cluster(approved), namespace(when("false"))).reason is Reason.NO_PERMIT
    assert decide(question(), cluster(approved), namespace(f"{FORBID};")).reason is Reason.FORBIDDEN


@pytest.mark.parametrize(
    ("condition", "approvals"),
    [
        ("context.approvals >= 3", 3),
        ('context.approvals >= 2 && context.approverGroups.contains("security")', 2),
        ('context.approvers.containsAny(["dora@example.com", "dan@example.com"])', 1),
        ('["security"].containsAny(context.approverGroups) && context.approved', 1),
    ],
)
def test_a_quorum_is_waited_for(condition: str, approvals: int) -> None:
    decision = decide(question(), cluster(when(condition)), NOTHING)

    assert decision.need is not None
    assert decision.need.approvals == approvals


def test_an_approver_who_is_not_wanted_does_not_keep_it_from_waiting() -> None:
    unwanted = f'{FORBID} when {{ context.approvers.contains("mallory@example.com") }};'

    decision = decide(question(), cluster(when("context.approved") + unwanted), NOTHING)

    assert decision.reason is Reason.NEEDS_APPROVAL


def test_a_quorum_counts_people_once() -> None:
    layers = cluster(when("context.approvals >= 2")), NOTHING

    assert decide(question(approvers=(BOB, ERIN)), *layers).allowed
    twice = decide(question(approvers=(BOB, replace(BOB, groups=("other",)))), *layers)
    assert twice.reason is Reason.NEEDS_APPROVAL


def test_a_quorum_beyond_what_is_supposed_is_a_denial() -> None:
    condition = when(f"context.approvals >= {engine.MAX_APPROVALS + 1}")

    assert decide(question(), cluster(condition), NOTHING).reason is Reason.NO_PERMIT


def test_an_error_is_not_waited_out() -> None:
    text = f"{when('context.approved')} {FORBID} when {{ {OVERFLOWS} }};"

    assert decide(question(), cluster(text), NOTHING).reason is Reason.POLICY_ERROR


def test_an_emergency_skips_approvals_and_the_namespace_and_not_the_cluster() -> None:
    quorum = cluster(when("context.approvals >= 2 && context.breakGlass"))
    emergency = question(break_glass=True, environment=REQUIRED)

    assert decide(emergency, quorum, namespace(f"{FORBID};")).allowed
    assert decide(emergency, quorum, NOTHING).allowed
    denied = decide(emergency, cluster(when("!context.breakGlass")), NOTHING)
    assert denied.reason is Reason.NO_PERMIT
    assert decide(emergency, NOTHING, NOTHING).reason is Reason.NO_CLUSTER_POLICY


def test_the_digest_of_a_layer_does_not_depend_on_the_order_of_its_policies() -> None:
    policies = [accept(f"AgentPolicy/{name}", f"{PERMIT}; // {name}") for name in "cab"]

    assert Layer.of(policies).digest == Layer.of(reversed(policies)).digest
    assert Layer.of(policies).digest != Layer.of(policies[:2]).digest
    moved = [accept("AgentPolicy/d", policies[0].text), *policies[1:]]
    assert Layer.of(policies).digest != Layer.of(moved).digest


def test_a_policy_stands_once_in_a_layer() -> None:
    policy = accept("AgentPolicy/a", f"{PERMIT};")

    with pytest.raises(ValueError, match="twice"):
        Layer.of([policy, policy])


CONDITIONS = st.sampled_from(
    [
        "true",
        "false",
        OVERFLOWS,
        "context.approved",
        "resource.sensitivity > 1",
        'context.requester.groups.contains("support")',
        "principal.disabled",
        "context has delegator",
    ]
)
RULES = st.lists(st.tuples(st.sampled_from(["permit", "forbid"]), CONDITIONS), max_size=4)


@settings(max_examples=150)
@given(RULES, RULES, st.booleans())
def test_it_allows_only_if_each_layer_permits_none_forbids_and_nothing_failed(
    of_cluster: list[tuple[str, str]],
    of_namespace: list[tuple[str, str]],
    approved: bool,  # noqa: FBT001
) -> None:
    truth = {"true": True, "context.approved": approved, 'context.requester.groups.contains("support")': True}
    texts = [
        "\n".join(f"{effect}(principal, action, resource) when {{ {each} }};" for effect, each in rules)
        for rules in (of_cluster, of_namespace)
    ]
    decision = decide(question(approvers=(BOB,) if approved else ()), cluster(texts[0]), namespace(texts[1]))

    def allows(rules: list[tuple[str, str]]) -> bool:
        holding = [effect for effect, condition in rules if truth.get(condition, False)]
        fails = any(condition == OVERFLOWS for _, condition in rules)
        return "permit" in holding and "forbid" not in holding and not fails

    assert decision.allowed == (allows(of_cluster) and allows(of_namespace))
    assert decision.allowed == (decision.reason is Reason.ALLOWED)
