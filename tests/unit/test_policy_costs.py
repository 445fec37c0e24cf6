"""No text that is accepted makes a decision expensive, and a denial is asked again a few times at most."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cedarpy
import pytest

from agentid.policy import engine
from agentid.policy.accept import accept
from agentid.policy.decision import Decision, Reason
from agentid.policy.errors import RefusedPolicyError, TextError
from agentid.policy.layer import Layer
from agentid.policy.question import Person, Pod, Question
from agentid.policy.vocabulary import Action
from tests.unit.policy_questions import NOTHING, PERMIT, cluster, namespace, question, when

PEOPLE = [f"u{number}@example.com" for number in range(64)]


def texts(items: list[str]) -> str:
    return ", ".join(f'"{each}"' for each in items)


def refused(text: str) -> TextError:
    with pytest.raises(RefusedPolicyError) as caught:
        accept("AgentPolicy/own", text)
    return caught.value.errors[0]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Yield a list that has an entry for each time that a layer is asked."""
    asked: list[str] = []
    ask = cedarpy.is_authorized

    def one(*of_what: Any) -> cedarpy.AuthzResult:  # noqa: ANN401 - in place of cedarpy.is_authorized
        asked.append("asked")
        return ask(*of_what)

    with monkeypatch.context() as patch:
        patch.setattr(cedarpy, "is_authorized", one)
        yield asked


def test_a_text_names_so_many_approvers_and_groups_and_no_more() -> None:
    just = f"{PERMIT};\n{when(f'context.approvers.containsAny([{texts(PEOPLE[:32])}])')}\n"
    just += when(f"[{texts(PEOPLE[32:])}].containsAny(context.approverGroups)")
    assert accept("AgentPolicy/own", just).load.names == 64
    zoe = when('context.approvers.contains("zoe@example.com")')
    one_more = f'{just}\n@id("more") {zoe}'
    error = refused(one_more)
    assert (error.line, error.rule) == (4, "more")
    assert error.message == (
        "with this rule the text names 65 approvers and groups of them; at most 64 are allowed. "
        "Name a group in place of its people."
    )


def test_a_layer_of_texts_that_name_more_together_denies() -> None:
    some = when(f"context.approvers.containsAny([{texts(PEOPLE[:40])}])")
    others = when(f"context.approverGroups.containsAny([{texts(PEOPLE[:40])}])")
    decision = decide(question(), cluster(f"{PERMIT};"), namespace(some, others))
    assert decision.reason is Reason.TOO_MUCH_POLICY
    assert "80 names of approvers and groups (at most 64). Delete what is not needed." in decision.message


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("context == context", "`context` stands by itself. Name the attributes of it that are meant."),
        ("[{a: context}].isEmpty()", "`context` stands by itself."),
        (
            "[context.approverGroups].contains(context.approverGroups)",
            "a set holds `approverGroups`, which is",
        ),
        (
            '[[context.requester.groups], [["x"]]] == [[["x"]]]',
            "a set holds `groups`, which is a set or record",
        ),
        ("[{a: context.chain}].isEmpty()", "a set holds `chain`, which is a set or record itself."),
        ("[{a: {b: context.images}}.a].isEmpty()", "a set holds `images`, which is a set or record itself."),
        (
            "[(if context.approved then {a: [1]} else {a: resource.actions}).a].isEmpty()",
            "a set holds `actions`, which is",
        ),
        ("[[true, [context.images]].isEmpty()].contains(true)", "a set holds `images`, which is"),
    ],
)
def test_sets_of_what_is_large_are_refused_where_they_stand(condition: str, message: str) -> None:
    error = refused(f'{PERMIT};\n@id("large") {when(condition)}')
    assert error.message.startswith(message)
    assert (error.line, error.rule) == (2, "large")


@pytest.mark.parametrize(
    "condition",
    [
        '[["orders:read"], ["orders:read", "orders:list"]].contains(resource.actions)',
        "[resource.name, principal.name].contains(context.requester.username)",
        "context.requester.groups == resource.actions",
        "context has parent && [context.parent.name].contains(resource.name)",
        '[context.images.contains("a"), true].contains(true)',
        "[context.images == context.imageRegistries, context has parent].contains(false)",
        '[if context.images.isEmpty() then "none" else resource.name].contains("none")',
        "[{a: context.images, b: resource.name}.b].contains(principal.name)",
    ],
)
def test_sets_of_what_is_small_are_accepted(condition: str) -> None:
    assert len(accept("AgentPolicy/own", when(condition)).rules) == 1


def test_rules_have_so_many_words_and_marks_and_no_more() -> None:
    members = ["1"] * 4087
    just = when(f"[{','.join(members)}].contains(1)")
    assert accept("AgentPolicy/own", f"{just} // and a comment").load.tokens == 8192
    error = refused(f"// first\n{just} {PERMIT};")
    assert (error.line, error.column) == (2, len(just) + 2)
    assert error.message == (
        "the rules have 8201 words and marks; at most 8192 are allowed in one object. Split it up."
    )


def test_patterns_of_a_layer_are_bounded_together() -> None:
    half = when(f'resource.purpose like "*{"a" * 3000}"')
    decision = decide(question(), cluster(f"{PERMIT};"), namespace(half, half))
    assert decision.reason is Reason.TOO_MUCH_POLICY
    assert "6002 characters in patterns of like (at most 4096)" in decision.message


def test_facts_larger_than_is_asked_about_are_denied_and_say_so() -> None:
    pod = Pod("refund-agent", tuple(f"registry.example.com/{number}/{'x' * 900}" for number in range(40)))
    decision = decide(question(pod=pod), cluster(f"{PERMIT};"), NOTHING)
    assert (decision.allowed, decision.reason) == (False, Reason.TOO_MUCH_ASKED)
    assert decision.message.startswith("Denied, as what policy would be asked has 3")
    assert f"at most {engine.MAX_ASKED_BYTES} are asked about. Use fewer or shorter names" in decision.message


MANY = [str(number) for number in range(engine.MAX_MEMBERS + 1)]


@pytest.mark.parametrize(
    "facts",
    [
        {"pod": Pod("refund-agent", tuple(MANY))},
        {"pod": Pod("refund-agent", (), tuple(MANY)), "action": Action.RENEW},
        {"requester": Person("alice@example.com", tuple(MANY))},
        {"audiences": tuple(MANY)},
        {"approvers": tuple(Person(each) for each in MANY)},
        {"approvers": (Person("bob@example.com", tuple(MANY)),)},
    ],
    ids=["images", "runningImages", "groups", "audiences", "approvers", "approverGroups"],
)
def test_sets_of_more_members_than_are_asked_about_are_denied_and_say_so(facts: dict[str, Any]) -> None:
    decision = decide(question(**facts), cluster(f"{PERMIT};"), NOTHING)
    assert (decision.allowed, decision.reason) == (False, Reason.TOO_MUCH_ASKED)
    assert decision.message.startswith(
        f"Denied, as what policy would be asked has {engine.MAX_MEMBERS + 1} members in one set; "
        f"at most {engine.MAX_MEMBERS} are asked about. Use fewer or shorter names"
    )
    fewer = question(pod=Pod("refund-agent", tuple(MANY[1:])))
    assert decide(fewer, cluster(f"{PERMIT};"), NOTHING).allowed


@pytest.mark.parametrize(
    ("condition", "times"),
    [
        ("resource.sensitivity > 3", 0),
        ("context.approved && resource.sensitivity > 3", 1),
        ("context.approvals > 9", 1),
        (f"context.approvers.containsAll([{texts(PEOPLE)}]) && context.approvals > 9", 2),
    ],
)
def test_what_no_approval_changes_is_asked_again_twice_at_most(
    condition: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = cluster(f"{PERMIT};"), namespace(when(condition))
    with counted(monkeypatch) as asked:
        assert decide(question(), *layers).reason is Reason.NO_PERMIT
    assert len(asked) == 2 * (1 + times)


@pytest.mark.parametrize("wanted", range(1, 6))
@pytest.mark.parametrize("named", ["", ' && context.approverGroups.contains("security")'])
def test_how_many_are_needed_is_found_in_five_more_questions(
    wanted: int, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = cluster(f"{PERMIT};"), namespace(when(f"context.approvals >= {wanted}{named}"))
    with counted(monkeypatch) as asked:
        decision = decide(question(), *layers)
    assert decision.need is not None
    assert decision.need.approvals == wanted
    assert len(asked) <= 2 * (1 + 5)


def test_one_who_is_named_makes_others_needless() -> None:
    text = when('context.approvals >= 4 || context.approvers.contains("bob@example.com")')
    decision = decide(question(), cluster(text), NOTHING)
    assert decision.need is not None
    assert decision.need.approvals == 1


def decide(asked: Question, of_cluster: Layer, of_namespace: Layer) -> Decision:
    return engine.decide(asked, of_cluster, of_namespace)


def filled(condition: str, between: str) -> str:
    """Return rules with as many conditions as fit into the bound on words and marks."""
    one = when(f"{between.join([condition] * 40)}{between}context.approvals > 9")
    found = accept("AgentPolicy/own", one).load
    return "\n".join([one] * min(8192 // found.tokens, 60_000 // found.size))


LARGE: dict[str, Callable[[], str]] = {
    "approvers": lambda: when(f"context.approvers.containsAll([{texts(PEOPLE)}]) && context.approvals > 9"),
    "images": lambda: filled("context.images.containsAll(context.images)", " && "),
    "groups": lambda: filled("context.approverGroups.containsAll(context.approverGroups)", " && "),
    "records": lambda: filled("{a: 1, b: 2}.a == 2", " || "),
    "times": lambda: filled('context.time < datetime("2026-01-01T00:00:00.000Z")', " || "),
    "pattern": lambda: when(
        " || ".join([f'resource.purpose like "*{"a" * 500}b"'] * 8) + " || context.approvals > 9"
    ),
    "members": lambda: when(f"[{', '.join(['1'] * 4000)}].contains(2) || context.approvals > 9"),
}


@pytest.mark.parametrize("text", [make() for make in LARGE.values()], ids=LARGE)
def test_the_worst_that_is_accepted_is_decided_in_a_moment(text: str) -> None:
    asked = question(
        pod=Pod("refund-agent", tuple(f"{'x' * 96}/{n}" for n in range(engine.MAX_MEMBERS))),
        requester=Person("alice@example.com", tuple(f"group-{n}" for n in range(64))),
        approvers=tuple(Person(each, tuple(f"{each}-{n}" for n in range(64))) for each in PEOPLE[:4]),
    )
    purpose = asked.task.intent.model_copy(update={"purpose": "a" * 1024})
    asked = replace(asked, task=asked.task.model_copy(update={"intent": purpose}))
    layers = cluster(f"{PERMIT};"), namespace(text)
    taken = []
    for _ in range(3):
        begin = time.process_time()
        assert decide(asked, *layers).reason is Reason.NO_PERMIT
        taken.append(time.process_time() - begin)
    # As a rule 2 to 20 ms; much more than that on a machine with much to do.
    assert min(taken) < 0.2
