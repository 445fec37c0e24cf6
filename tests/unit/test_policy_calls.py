"""Decisions on calls: the slices and the quick way give the same answers as all rules asked one by one."""

from dataclasses import replace

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.policy.calls import decide_call
from agentid.policy.decision import Decision, Reason
from agentid.policy.engine import decide_prepared
from agentid.policy.layer import Layer
from agentid.policy.prepared import prepare_for_calls
from agentid.policy.question import Environment, Person, Pod, Question, Use
from agentid.policy.vocabulary import Action
from tests.unit.policy_questions import NOTHING, NOW, PERMIT, cluster, namespace, question

PRINCIPAL = "support/refund-agent"
READ = Use("orders:read", "order/4711")
SCOPES = (
    "principal, action, resource",
    'principal, action == Action::"use", resource',
    'principal, action == Action::"issue", resource',
    'principal, action in [Action::"renew", Action::"use"], resource',
    'principal == Agent::"support/refund-agent", action, resource',
    'principal == Agent::"support/other", action, resource',
    'principal in Agent::"support/refund-agent", action, resource',
    'principal is Agent in Agent::"support/other", action, resource',
    'principal, action, resource == Task::"5c0e9a10-0000-4000-8000-000000000001"',
)
CONDITIONS = (
    "",
    " when { resource.sensitivity < 2 }",
    ' when { ["issue", "renew"].contains(resource.name) }',
    " unless { context.approved }",
    " when { context.hour == 10 }",
    ' when { context.time < datetime("2026-06-03T10:00:00.001Z") }',
    " when { resource.sensitivity + 9223372036854775807 > 0 }",
    ' when { context.environment.namespaceLabels.hasTag("env") }',
)
OF_USE = (
    ' when { context.operation == "orders:read" }',
    ' when { context has target && context.target like "order/*" }',
    ' when { context has tool && context.tool == "crm" }',
    ' when { context has session && context.session == "chat-1" }',
    ' when { context.parameters.hasTag("amount") && context.parameters.getTag("amount") has number }',
)


def rules() -> st.SearchStrategy[str]:
    whatever = st.builds(
        "{}({}){};".format,
        st.sampled_from(("permit", "permit", "forbid")),
        st.sampled_from(SCOPES),
        st.sampled_from(CONDITIONS),
    )
    of_use = st.builds(
        '{}(principal, action == Action::"use", resource){};'.format,
        st.sampled_from(("permit", "permit", "forbid")),
        st.sampled_from(OF_USE),
    )
    return st.lists(whatever | of_use, max_size=4).map("\n".join)


CALLS = st.builds(
    Use,
    st.sampled_from(("orders:read", "refunds:create")),
    st.sampled_from((None, "order/4711", "customer/1")),
    st.sampled_from((None, "crm")),
    st.dictionaries(
        st.sampled_from(("amount", "why")), st.integers(0, 200) | st.booleans() | st.text(max_size=3)
    ),
    st.sampled_from((None, "chat-1")),
)


def use(**changes: object) -> Question:
    return question(**{"action": Action.USE, **changes})


def slowly(asked: Question, call: Use, of_cluster: Layer, of_namespace: Layer) -> Decision:
    return decide_prepared(prepare_for_calls(asked), asked.now, call, of_cluster, of_namespace)


def quickly(asked: Question, call: Use, of_cluster: Layer, of_namespace: Layer) -> Decision:
    return decide_call(prepare_for_calls(asked), asked.now, call, of_cluster, of_namespace)


@settings(max_examples=300)
@given(rules(), rules() | st.none(), CALLS, st.booleans(), st.booleans())
def test_the_quick_way_decides_as_all_rules_do(
    of_cluster: str,
    of_namespace: str | None,
    call: Use,
    emergency: bool,  # noqa: FBT001 - what Hypothesis draws
    approved: bool,  # noqa: FBT001 - what Hypothesis draws
) -> None:
    asked = use(
        break_glass=emergency, approvers=(Person("bob@example.com", ("security",)),) if approved else ()
    )
    layers = cluster(of_cluster), namespace(of_namespace) if of_namespace is not None else NOTHING

    quick, slow = quickly(asked, call, *layers), slowly(asked, call, *layers)

    assert quick.allowed == slow.allowed
    assert (quick.reason, quick.message) == (slow.reason, slow.message)
    assert quick.determined_by == slow.determined_by
    assert [(each.layer, each.digest, each.allowed) for each in quick.layers] == [
        (each.layer, each.digest, each.allowed) for each in slow.layers
    ]


def test_a_slice_leaves_out_what_is_about_others_only() -> None:
    layer = cluster(*(f"{kind}({scope});" for scope in SCOPES for kind in ("permit",)))

    of_it = layer.about(Action.USE, PRINCIPAL)
    of_others = layer.about(Action.USE, "support/third")

    assert layer.named == {PRINCIPAL, "support/other"}
    assert layer.about(Action.USE, "support/fourth") is of_others
    assert [int(name.split("/p")[1].split("/")[0]) for name in of_it.rules] == [0, 1, 3, 4, 6, 8]
    assert [int(name.split("/p")[1].split("/")[0]) for name in of_others.rules] == [0, 1, 3, 8]
    assert (of_it.digest, of_it.sources) == (layer.digest, layer.sources)


def test_a_part_knows_when_its_own_rules_turn() -> None:
    layer = cluster(
        'permit(principal, action == Action::"issue", resource);',
        'permit(principal, action == Action::"use", resource) when { context.hour < 18 };',
    )

    assert layer.about(Action.USE, PRINCIPAL).bounds == layer.bounds != frozenset()
    assert layer.about(Action.ISSUE, PRINCIPAL).bounds == frozenset()
    assert layer.about(Action.ISSUE, PRINCIPAL).reads == frozenset()


def test_no_more_parts_of_a_layer_are_kept_than_there_is_room_for() -> None:
    agents = [f"support/agent-{number}" for number in range(100)]
    layer = cluster("".join(f'permit(principal == Agent::"{each}", action, resource);' for each in agents))

    for each in agents:
        assert len(layer.about(Action.USE, each).rules) == 1
    first = layer.about(Action.USE, agents[0])

    assert layer.about(Action.USE, agents[0]) is first
    assert len(layer._parts) == 64  # noqa: SLF001 - what is kept


@pytest.mark.parametrize(
    ("of_cluster", "of_namespace", "labels", "reason"),
    [
        (NOTHING, NOTHING, {}, Reason.NO_CLUSTER_POLICY),
        (cluster(f"{PERMIT};"), NOTHING, {"agentid.dev/require-policy": ""}, Reason.NO_NAMESPACE_POLICY),
        (cluster(f"{PERMIT};"), namespace("// none"), {}, Reason.NO_PERMIT),
        (cluster("// none"), namespace(f"{PERMIT};"), {}, Reason.NO_PERMIT),
        (cluster(f"{PERMIT};"), NOTHING, {}, Reason.ALLOWED),
    ],
)
def test_both_layers_have_their_say(
    of_cluster: Layer, of_namespace: Layer, labels: dict[str, str], reason: Reason
) -> None:
    decision = quickly(
        use(environment=Environment("example.org", {}, labels)), READ, of_cluster, of_namespace
    )

    assert decision.reason is reason
    assert decision.allowed == (reason is Reason.ALLOWED)


def test_a_forbid_that_fails_denies_although_a_rule_permits() -> None:
    fails = "forbid(principal, action, resource) when { resource.sensitivity + 9223372036854775807 > 0 };"

    decision = quickly(use(), READ, cluster(f"{PERMIT};", fails), NOTHING)

    assert decision.reason is Reason.POLICY_ERROR


def test_what_asks_more_than_may_be_asked_is_denied() -> None:
    reads = cluster(
        'permit(principal, action == Action::"use", resource) when { context.parameters.hasTag("a") };'
    )
    call = replace(READ, parameters={"a": "x" * 40_000})

    assert quickly(use(), call, reads, NOTHING).reason is Reason.TOO_MUCH_ASKED


def test_what_is_too_much_before_any_call_is_denied_for_each() -> None:
    pod = Pod("refund-agent", tuple(f"registry.example.com/{number}/{'x' * 900}" for number in range(40)))
    asked = use(pod=pod)

    assert quickly(asked, READ, cluster(f"{PERMIT};"), NOTHING).reason is Reason.TOO_MUCH_ASKED
    assert quickly(use(), READ, cluster(f"{PERMIT};"), NOTHING).allowed


def test_a_question_that_does_not_fit_the_schema_is_not_made_prepare_for_calls() -> None:
    asked = use(environment=Environment("example.org", {"region": 5}, {}))  # type: ignore[dict-item]

    with pytest.raises(ValueError, match=r"schema|type"):
        prepare_for_calls(asked)


def test_an_engine_that_panics_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_for_calls(use())
    layers = cluster(f"{PERMIT};"), NOTHING

    def panic(*_: object, **__: object) -> None:
        raise BaseException("panicked")  # noqa: TRY002 - what a panic of the engine is

    monkeypatch.setattr(cedarpy, "is_authorized", panic)

    assert decide_call(prepared, NOW, READ, *layers).reason is Reason.ENGINE_ERROR
