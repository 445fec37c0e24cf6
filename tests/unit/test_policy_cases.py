"""Cases say what is asked and what has to be decided; the worked policies hold all of theirs."""

from pathlib import Path

import cedarpy
import pytest

from agentid.policy.accept import accept
from agentid.policy.casefile import MAX_BYTES, read_cases
from agentid.policy.errors import InvalidCasesError, RefusedPolicyError
from agentid.policy.layer import Layer
from agentid.policy.request import request
from agentid.policy.runner import CaseResult, question, run_cases
from agentid.policy.schema import schema
from agentid.policy.wording import rule_told
from devcluster.places import CHECKOUT

POLICIES = CHECKOUT / "deploy" / "policies"
FILES = sorted(POLICIES.glob("*.cases.yaml"))
GUIDE = CHECKOUT / "docs" / "policy.md"


def run(text: str, **policies: str) -> tuple[CaseResult, ...]:
    return run_cases(read_cases(text), lambda name: policies[name.removesuffix(".cedar")])


def results() -> list[tuple[str, CaseResult]]:
    return [
        (path.name.removesuffix(".cases.yaml"), result)
        for path in FILES
        for result in run_cases(
            read_cases(path.read_text(encoding="utf-8")),
            lambda name: (POLICIES / name).read_text(encoding="utf-8"),
        )
    ]


def test_there_are_ten_worked_policies_each_with_cases() -> None:
    names = {path.name.removesuffix(".cedar") for path in POLICIES.glob("*.cedar")}

    assert len(names) == 10
    assert names == {path.name.removesuffix(".cases.yaml") for path in FILES}


@pytest.mark.parametrize(("policy", "result"), results(), ids=lambda each: getattr(each, "name", each))
def test_the_cases_of_the_worked_policies_hold(policy: str, result: CaseResult) -> None:
    assert result.failures == (), policy


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.cedar")), ids=lambda path: path.stem)
def test_every_rule_of_a_worked_policy_is_named_and_determines_a_case(path: Path) -> None:
    names = {rule.name.rpartition("/")[2] for rule in accept("x", path.read_text(encoding="utf-8")).rules}
    determining = {
        rule.rpartition("/")[2]
        for policy, result in results()
        if policy == path.stem
        for rule in (
            *result.decision.determined_by,
            *(result.decision.need.rules if result.decision.need else ()),
        )
    }

    assert not {name for name in names if name.startswith("policy")}
    assert names <= determining


@pytest.mark.parametrize("path", sorted(POLICIES.glob("*.cedar")), ids=lambda path: path.stem)
def test_the_guide_shows_the_worked_policies_as_they_are(path: Path) -> None:
    assert path.read_text(encoding="utf-8") in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rules_under_their_own_names_decide_as_the_text_does(path: Path) -> None:
    cases = read_cases(path.read_text(encoding="utf-8"))
    for files in filter(None, (cases.cluster, cases.namespace)):
        texts = [(POLICIES / file).read_text(encoding="utf-8") for file in files]
        layer = Layer.of(accept(f"AgentPolicy/{n}", text) for n, text in enumerate(texts))
        for case in cases.cases:
            asked = request(question(case.given))
            answers = [
                cedarpy.is_authorized(asked.as_cedar(), policies, asked.entities, schema())
                for policies in ("\n".join(texts), layer.parsed)
            ]
            assert answers[0].decision == answers[1].decision
            assert len(answers[0].diagnostics.reasons) == len(answers[1].diagnostics.reasons)
            assert [answer.diagnostics.errors for answer in answers] == [[], []]


CASES = """
cluster: [a.cedar]
given: {{task: {{intent: {{sensitivity: Confidential}}}}, namespaceLabels: {{env: test, team: x}}}}
cases:
  - {{name: one, expect: {expect}, {more}}}
"""
A = '@id("low") permit(principal, action, resource) when { resource.sensitivity < 2 || context.approved };'


@pytest.mark.parametrize(
    ("expect", "more", "failures"),
    [
        ("approval", "approvals: 1, by: [low]", []),
        ("allow", "task: {intent: {sensitivity: Public}}, by: [low]", []),
        (
            "allow",
            "",
            ["expected allow, got approval: ClusterAgentPolicy/a, rule"],
        ),
        ("approval", "by: [other]", ["expected by other, got by low"]),
        ("approval", "by: []", ["expected by no rule, got by low"]),
        ("approval", "approvals: 2", ["expected to need 2 approvals, got 1"]),
        ("allow", "approvers: [{username: bob}], by: []", ["expected by no rule, got by low"]),
        (
            "deny",
            "approvers: [{username: bob}]",
            ["expected deny, got allow: allowed by"],
        ),
    ],
)
def test_a_case_says_in_what_it_does_not_hold(expect: str, more: str, failures: list[str]) -> None:
    (result,) = run(CASES.format(expect=expect, more=more), a=A)

    assert len(result.failures) == len(failures)
    assert all(found.startswith(said) for found, said in zip(result.failures, failures, strict=True))
    assert result.holds == (not failures)


def test_a_denial_by_a_condition_that_fails_never_holds() -> None:
    text = "permit(principal, action, resource) when { resource.sensitivity + 9223372036854775807 > 0 };"

    (result,) = run(CASES.format(expect="deny", more=""), a=text)

    assert not result.holds
    assert "could not be evaluated" in result.failures[0]


def test_null_takes_away_what_is_given() -> None:
    text = """
    given: {namespaceLabels: {env: test, team: x}, pod: {serviceAccount: a}}
    cases: [{name: one, expect: deny, namespaceLabels: {team: null}, pod: null}]
    """

    given = read_cases(text).cases[0].given

    assert given.namespace_labels == {"env": "test"}
    assert given.pod is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a map with a list"),
        ("cases: []", "cases"),
        ("cases: [1]", "each case is a map"),
        ("cases: [{name: a}]", "cases.0.expect"),
        ("cases: [{name: a, expect: maybe}]", "cases.0.expect"),
        ("cases: [{name: a, expect: deny, asks: issue}]", "cases.0.given.asks"),
        ("cases: [{name: a, expect: deny, ask: steal}]", "cases.0.given.ask"),
        ("cases: [{name: a, expect: deny, breakGlass: yes please}]", "cases.0.given.breakGlass"),
        ("cases: [{name: a, expect: deny, task: {activeDeadlineSeconds: '5'}}]", "activeDeadlineSeconds"),
        ("cases: [{name: a, expect: deny, at: 2026-06-03}]", "cases.0.given.at"),
        ("cases: [{name: a, expect: deny, at: '2026-06-03T10:00:00'}]", "cases.0.given.at"),
        ("cases: [{name: a, expect: deny, approvals: 1}]", "approvals is for"),
        ("cases: [{name: a, expect: deny}, {name: a, expect: allow}]", "two cases are named 'a'"),
        ("cluster: [x/a.cedar, y/a.cedar]\ncases: [{name: a, expect: deny}]", "the same name"),
        ("a: &a [x]\ncases: [*a]", "aliases are not allowed"),
        ("cases: !!python/object:os.system x", "could not determine a constructor"),
        ("cases: [", "not a file of cases"),
        ("x" * (MAX_BYTES + 1), "at most"),
        ("cases: " + "[" * 5000, "not a file of cases"),
    ],
    ids=lambda each: each[:40],
)
def test_what_is_no_file_of_cases_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidCasesError) as caught:
        read_cases(text)

    assert message in str(caught.value)


def test_a_policy_that_is_refused_ends_the_run() -> None:
    with pytest.raises(RefusedPolicyError, match="ClusterAgentPolicy/a: line 1, column 1"):
        run(CASES.format(expect="deny", more=""), a="permitt(principal, action, resource);")


def test_a_rule_is_told_by_its_object_and_name() -> None:
    assert rule_told("AgentPolicy/refunds/large-refunds") == 'AgentPolicy/refunds, rule "large-refunds"'
