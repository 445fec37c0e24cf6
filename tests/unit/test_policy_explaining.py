"""Why a decision is as it is: the facts that its rules looked at, and what would have to be otherwise."""

import pytest
from pydantic import JsonValue

from agentid.policy.engine import decide
from agentid.policy.explaining import NOT_THERE, Explanation, InTheWay, explain, reads
from agentid.policy.layer import Layer
from agentid.policy.question import Question
from tests.unit.policy_questions import NOTHING, cluster, namespace, question, when

ALL = "permit(principal, action, resource);"


def explained(asked: Question, first: Layer, second: Layer = NOTHING) -> Explanation:
    return explain(asked, decide(asked, first, second), first, second)


def ways(asked: Question, first: Layer, second: Layer = NOTHING) -> list[tuple[str, list[str]]]:
    found = explained(asked, first, second).in_the_way
    return [(way.rule, [each.text for each in way.conditions]) for way in found]


def facts(condition: str, asked: Question | None = None) -> dict[str, JsonValue]:
    return explained(asked or question(), cluster(when(condition))).facts


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("resource.sensitivity <= 1", {"resource.sensitivity": 1}),
        ("resource.credential.ttlSeconds <= 300", {"resource.credential.ttlSeconds": 300}),
        ("!context.approved", {"context.approved": False}),
        ('principal.actions.contains("orders:*")', {"principal.actions": ["orders:*"]}),
        ("!(context has delegator)", {"context.delegator": NOT_THERE}),
        (
            'context.environment.clusterLabels.hasTag("region")',
            {'context.environment.clusterLabels["region"]': "eu"},
        ),
        (
            '!context.environment.namespaceLabels.hasTag("x")',
            {'context.environment.namespaceLabels["x"]': NOT_THERE},
        ),
        (
            'context.time > datetime("2026-01-01T00:00:00Z")',
            {"context.time": "2026-06-03T10:00:00.000Z"},
        ),
        (
            'context.requester.username == "alice@example.com"',
            {"context.requester.username": "alice@example.com"},
        ),
    ],
)
def test_the_facts_are_those_that_the_rule_looked_at_with_their_values(
    condition: str, expected: dict[str, JsonValue]
) -> None:
    assert facts(condition) == expected


def test_a_rule_that_determined_nothing_tells_no_facts() -> None:
    both = cluster(when("resource.sensitivity <= 1"), when("resource.depth == 7"))
    assert explained(question(), both).facts == {"resource.sensitivity": 1}


def test_what_is_allowed_has_nothing_in_the_way() -> None:
    assert explained(question(), cluster(ALL)).in_the_way == ()


def test_conditions_that_do_not_hold_are_in_the_way_of_a_permit_and_others_are_not() -> None:
    rule = '@id("few")\n' + when("resource.sensitivity <= 1 && resource.depth == 7 && context.approved")
    assert ways(question(), cluster(rule)) == [
        ("ClusterAgentPolicy/p0/few", ["resource.depth == 7", "context.approved"])
    ]


def test_unless_is_in_the_way_as_what_would_have_to_hold() -> None:
    rule = "permit(principal, action, resource) unless { resource.bound || resource.depth == 7 };"
    assert ways(question(), cluster(rule)) == [("ClusterAgentPolicy/p0/policy0", ["!resource.bound"])]


def test_rules_about_another_agent_or_action_are_in_nobodys_way() -> None:
    rules = [
        'permit(principal == Agent::"support/other", action, resource);',
        'permit(principal, action == Action::"renew", resource);',
    ]
    assert ways(question(), cluster(*rules)) == []


def test_the_nearest_permit_comes_first_and_no_more_than_three_are_told() -> None:
    rules = [
        when(" && ".join(["context.approved", *["resource.depth == 7"] * more])) for more in range(3, -1, -1)
    ]
    found = ways(question(), cluster(*rules))
    assert [len(conditions) for _, conditions in found] == [1, 2, 3]


def test_a_forbid_is_in_the_way_with_what_makes_it_forbid_and_its_advice() -> None:
    rule = '@advice("Ask for less.") forbid(principal, action, resource) when { resource.sensitivity >= 1 };'
    (way,) = explained(question(), cluster(ALL, rule)).in_the_way
    assert isinstance(way, InTheWay)
    assert (way.rule, way.forbids, way.advice) == ("ClusterAgentPolicy/p1/policy0", True, "Ask for less.")
    assert [(each.text, each.holds) for each in way.conditions] == [("resource.sensitivity >= 1", True)]


def test_each_layer_that_denies_is_explained() -> None:
    first, second = cluster(when("resource.depth == 7")), namespace(when("context.approved"))
    rules = [rule for rule, _ in ways(question(), first, second)]
    assert rules == ["ClusterAgentPolicy/p0/policy0", "AgentPolicy/p0/policy0"]


def test_a_condition_that_depends_on_another_is_said_not_to_be_known_alone() -> None:
    rule = when('context has delegator && context.delegator == "carol@example.com"')
    (way,) = explained(question(), cluster(rule)).in_the_way
    assert [each.holds for each in way.conditions] == [False, None]


def test_no_policy_at_all_is_explained_by_nothing() -> None:
    assert explained(question(), NOTHING) == Explanation({}, ())


@pytest.mark.parametrize(
    "text",
    [
        "resource.sensitivity >= 3",
        'resource.actions.containsAll(["orders:read", "refunds:create"])',
        'context.requester.username like "*@example.org"',
        "resource.grantable.isEmpty()",
        'context.time.toTime() < duration("7h")',
        '["orders:read"].containsAll(resource.resources)',
        "!resource.bound",
    ],
)
def test_a_condition_reads_as_its_author_wrote_it(text: str) -> None:
    ((_, conditions),) = ways(question(), cluster(when(text)))
    assert conditions == [text]


def test_what_rules_read_is_known_without_a_question() -> None:
    rules = cluster(
        when('context.environment.clusterLabels.hasTag("region") && resource.bound')
    ).rules.values()
    assert reads(rules) == {("context", "environment", "clusterLabels"), ("resource", "bound")}
