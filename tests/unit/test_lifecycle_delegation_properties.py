"""A child is never wider than any task above it, whatever is edited in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import event, given, settings
from hypothesis import strategies as st

from agentid.api.agenttask import AgentTaskSpec, CredentialMode
from agentid.api.agenttask_status import AgentTaskStatus, Credential
from agentid.api.reasons import WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.delegation import delegation_breach
from agentid.lifecycle.lineage import delegator, suspended_above
from agentid.lifecycle.model import Family, Observation, SecretFacts, SecretState, TaskFacts
from agentid.lifecycle.record import current, is_granted, is_step
from tests.unit.lifecycle_facts import NOW, after, agent, judged, observe, pod, task_spec, uid
from tests.unit.lifecycle_family import (
    asked_by,
    condition,
    granted,
    lineage,
    running,
    with_spec,
    with_status,
)

ACTIONS = ["orders:read", "mail:send", "refunds:create"]
RESOURCES = ["order/1", "order/2"]
ALL = agent(actions=ACTIONS, maxSensitivity="Restricted")
PAUSES = ("AwaitingPod", "PodMismatch", "AwaitingStaticSecret", "IssuanceBlocked", "SecretNameTaken")
PEOPLE = st.sampled_from([None, "carol@example.com", "dave@example.com"])

some_actions = st.lists(st.sampled_from(ACTIONS), unique=True, max_size=3)
intents = st.builds(
    lambda actions, grantable, resources, sensitivity: {
        "purpose": "Whatever",
        "actions": actions or ["orders:read"],
        "grantable": grantable,
        "resources": resources,
        "sensitivity": sensitivity,
    },
    some_actions,
    some_actions,
    st.lists(st.sampled_from(RESOURCES), unique=True, max_size=2),
    st.sampled_from(["Public", "Internal", "Confidential", "Restricted"]),
)
requesters = st.builds(
    lambda pod, may: asked_by(pod, may=may),
    st.sampled_from([None, *range(101, 108)]),
    st.booleans(),
)


@st.composite
def anything(draw: st.DrawFn) -> dict[str, object]:
    """Parts of a spec that somebody may ask for, whatever is above the task."""
    return {
        "intent": draw(intents),
        "credential": {"renew": draw(st.booleans()), "ttlSeconds": draw(st.sampled_from([60, 300, 600]))},
        "activeDeadlineSeconds": draw(st.sampled_from([600, 3600])),
        "agentRef": {"name": draw(st.sampled_from(["refund-agent", "other"]))},
        "workload": draw(st.sampled_from([None, {}])),
        "onBehalfOf": draw(PEOPLE),
        "requester": draw(requesters),
    }


@st.composite
def child_spec(draw: st.DrawFn, above: TaskFacts) -> AgentTaskSpec:
    """What a child of the task `above` asks for: the same as that, but for up to two parts."""
    assert above.spec is not None
    same = above.spec.model_dump(mode="json", by_alias=True, exclude={"on_behalf_of"})
    own = {"requester": asked_by(int(above.uid[-12:], 16) + 100), "onBehalfOf": None}
    wild = draw(anything())
    parts = draw(st.lists(st.sampled_from(sorted(wild)), max_size=2, unique=True))
    named = draw(st.sampled_from([above.uid] * 9 + [uid(99)]))
    spec = {**same, **own, **{part: wild[part] for part in parts}}
    spec["parentRef"] = {"name": above.name, "uid": named}
    as_step = "None" in str(spec["credential"]) or draw(st.integers(0, 3)) == 0
    return task_spec(**(step(spec) if as_step else spec))


def step(spec: dict[str, object]) -> dict[str, object]:
    """The same as a step."""
    intent, credential = dict(spec["intent"]), dict(spec["credential"])  # type: ignore[call-overload]
    return {
        **spec,
        "workload": None,
        "intent": intent | {"grantable": []},
        "credential": credential | {"mode": "None", "renew": False},
    }


@st.composite
def worlds(draw: st.DrawFn) -> list[TaskFacts]:
    """Up to seven tasks, each but the first a child of an earlier one, after any sequence of edits."""
    tasks = [running(1, task_spec(**draw(anything())))]
    for number in range(2, draw(st.integers(2, 7)) + 1):
        above = draw(st.sampled_from(tasks))
        tasks.append(running(number, draw(child_spec(above))))
    for _ in range(draw(st.integers(0, 3))):
        which = draw(st.integers(0, len(tasks) - 1))
        tasks[which] = draw(edited(tasks[which]))
    return tasks


@st.composite
def edited(draw: st.DrawFn, task: TaskFacts) -> TaskFacts:
    """The same after its intent or state was changed, or it has begun, or comes to its end."""
    assert task.spec is not None
    match draw(st.sampled_from(["intent", "state", "begun", "over"])):
        case "intent":
            grantable = {} if task.spec.credential.mode is CredentialMode.SECRET else {"grantable": []}
            changed = with_spec(task, intent=draw(intents) | grantable)
            return with_spec(changed, requester=draw(requesters)) if draw(st.booleans()) else changed
        case "state":
            return with_spec(task, state=draw(st.sampled_from(["Active", "Suspended", "Ended"])))
        case "begun":
            return with_status(task, start_time=draw(st.sampled_from([None, NOW])))
        case _:
            return with_status(task, deadline=NOW + timedelta(seconds=draw(st.sampled_from([-1, 60]))))


def may_give(spec: AgentTaskSpec) -> set[str]:
    return {*spec.intent.actions, *spec.intent.grantable}


def life(spec: AgentTaskSpec) -> int:
    return spec.active_deadline_seconds if spec.credential.renew else spec.credential.ttl_seconds


@settings(max_examples=120)
@given(worlds())
def test_what_is_within_its_parent_is_no_wider_than_any_task_above(tasks: list[TaskFacts]):
    for task in tasks[1:]:
        above = lineage(task, *tasks)
        assert task.spec is not None
        if delegation_breach(task, above, NOW) is not None:
            event("refused")
            continue
        event(f"within {len(above.ancestors)}")
        assert 1 <= len(above.ancestors) <= 5
        assert above.ancestors[0].uid == task.spec.parent_ref.uid  # type: ignore[union-attr]
        for higher in above.ancestors:
            spec = higher.spec
            assert spec is not None
            assert may_give(task.spec) <= may_give(spec)
            assert task.spec.intent.sensitivity.rank <= spec.intent.sensitivity.rank
            if spec.intent.resources:
                assert set(task.spec.intent.resources) <= set(spec.intent.resources)
                assert task.spec.intent.resources
            assert life(task.spec) <= life(spec)
            assert task.spec.credential.ttl_seconds <= spec.credential.ttl_seconds
            assert spec.credential.mode is CredentialMode.SECRET
            assert spec.state != "Ended"
            assert higher.status.deadline > NOW  # type: ignore[operator]
            if task.spec.workload is None and spec.workload is not None:
                assert task.spec.credential.mode is CredentialMode.NONE
        top = above.ancestors[-1].spec
        assert top is not None
        assert delegator(task, above) == top.on_behalf_of
        assert task.spec.on_behalf_of in {None, top.on_behalf_of}


@settings(max_examples=120)
@given(worlds())
def test_what_is_refused_above_is_refused_below(tasks: list[TaskFacts]):
    for task in tasks[1:]:
        above = lineage(task, *tasks)
        refused = [
            each
            for each in above.ancestors
            if delegation_breach(each, lineage(each, *tasks), NOW) is not None
        ]
        if refused:
            assert delegation_breach(task, above, NOW) is not None


@settings(max_examples=120)
@given(worlds(), st.data())
def test_a_suspension_anywhere_above_holds_everything_below(tasks: list[TaskFacts], data: st.DataObject):
    suspended = data.draw(st.sampled_from(tasks))
    after = [with_spec(each, state="Suspended") if each is suspended else each for each in tasks]
    for task in after:
        above = lineage(task, *after)
        if suspended.uid in {each.uid for each in above.ancestors}:
            assert suspended_above(above) is not None


@settings(max_examples=120)
@given(worlds())
def test_the_same_as_its_parent_is_within_it(tasks: list[TaskFacts]):
    top = with_spec(tasks[0], state="Active")
    top = with_status(top, deadline=NOW + timedelta(hours=1))
    assert top.spec is not None
    same = with_spec(
        running(50, top.spec),
        parentRef={"name": top.name, "uid": top.uid},
        requester=asked_by(None, may=True),
    )
    assert delegation_breach(same, lineage(same, top), NOW) is None


REASONS = st.one_of(st.just("Running"), st.sampled_from(["Running", "AwaitingPod", *WaitReason]))


@st.composite
def lives(draw: st.DrawFn) -> tuple[Observation, list[TaskFacts]]:
    """One task of a world, live or not, with those above it, each standing somehow."""
    tasks = draw(worlds())
    number = draw(st.integers(2, len(tasks)))
    task = tasks[number - 1]
    stand = [with_status(each, conditions=[condition(draw(REASONS))]) for each in tasks]
    if draw(st.booleans()):
        task = held(task)
    elif draw(st.booleans()):
        task = with_status(task, **dict(AgentTaskStatus()))
    above = lineage(task, *stand)
    facts = replace(
        observe(pods=[pod(number + 100, fingerprint="f")], agent=ALL),
        task=task,
        family=Family(above, parents_pod=pod(99)),
    )
    if current(facts) is not None:
        facts = replace(facts, secret=SecretFacts(SecretState.FILLED, generation=1))
    assert task.spec is not None
    unbound = task.spec.workload is None
    return judged(replace(facts, pods=()) if unbound else facts), list(above.ancestors)


def held(task: TaskFacts) -> TaskFacts:
    """The same task with what it is for, as it was asked for before it was edited."""
    if is_step(task):
        return with_status(granted(task), spec_hash=task.status.spec_hash)
    credential = Credential(
        generation=1, serial="1", made_by="issue", not_before=NOW, not_after=NOW + timedelta(seconds=60)
    )
    # Whatever has a credential has begun: one status says both.
    began = task.status.start_time or NOW
    return with_status(task, credentials=[credential], credential_generation=1, start_time=began)


@settings(max_examples=150)
@given(lives())
def test_nothing_new_comes_from_who_does_not_run_by_what_it_asks_for(
    lived: tuple[Observation, list[TaskFacts]],
):
    facts, above = lived
    task, now = facts.task, after(facts).task
    if not now.status.credentials and not is_granted(now):
        event("nothing")
        return
    had, has = ([each.serial for each in one.status.credentials] for one in (task, now))
    keeps = has == had and is_granted(now) == is_granted(task)
    is_same = keeps and now.status.spec_hash == task.status.spec_hash
    event("the same" if is_same else "something new")
    for each in above:
        assert each.spec is not None
        finished = each.status.conditions[0]
        assert finished.reason in ({"Running", *PAUSES} if is_same else {"Running"})
        assert is_same or each.status.spec_hash == spec_hash(each.spec)
