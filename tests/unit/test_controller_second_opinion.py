"""When OPA is asked beside Cedar, and what its yes, its no and its silence mean for a task."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.reasons import IssueReason
from agentid.controller.judging import Judge
from agentid.controller.second_opinion import Opinion, SecondOpinion
from agentid.lifecycle.decide import decide
from agentid.lifecycle.model import Family, Observation
from agentid.lifecycle.plan import Plan, SecretAction
from agentid.lifecycle.renewal import renew_at
from agentid.opa.answer import Answer
from agentid.opa.errors import OpaError, Outcome
from agentid.policy.encoding import Json
from agentid.policy.request import Request
from tests.unit.lifecycle_facts import (
    NOW,
    after,
    agent,
    asks,
    at,
    deleted,
    finished,
    generations,
    observe,
    pod,
    running,
    static_secret,
    task_spec,
    why,
)
from tests.unit.lifecycle_family import STEP, child, lineage, parent, with_status
from tests.unit.policy_objects import FORBID, PERMIT_ALL, Installed, policy

NEW = observe(spec=task_spec(), pods=[pod(all_run=True)])
GRACE = timedelta(seconds=60)
YES, NO = Answer(allowed=True), Answer(allowed=False, reason="change freeze", decision_id="d-1")
SILENCE = OpaError(Outcome.TIMEOUT, "OPA did not answer within 1 s.")
NEEDS_APPROVAL = "permit (principal, action, resource) when { context.approvals >= 2 };"


class Opa:
    """An OPA that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.says: Answer | OpaError | Callable[[Json], Answer] = YES
        self.asked: list[Json] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def ask(self, document: Json) -> Answer:
        self.asked.append(document)
        self.meanwhile()
        if isinstance(self.says, OpaError):
            raise self.says
        return self.says if isinstance(self.says, Answer) else self.says(document)


class Scene:
    """One task in a world that tests set, with an OPA."""

    def __init__(self, judge: Judge, facts: Observation, grace: timedelta = GRACE) -> None:
        self.opa, self.facts, self.judge = Opa(), facts, judge
        self.holder: Any = SimpleNamespace(opinion=None)
        self.requests: Callable[[Observation], tuple[Request, ...]] = judge.requests
        self.opinion = SecondOpinion(
            self.opa,
            lambda seen: self.requests(seen),  # noqa: PLW0108 - tests set another
            rule="data.agentid.allow",
            grace=grace,
            clock=lambda: self.facts.now,
            randomness=lambda: 0.0,
        )

    async def look(self) -> Observation:
        return replace(self.facts, judgement=self.judge.judge(self.facts))

    async def seen(self, seconds: float | None = None, **changes: Any) -> Observation:  # noqa: ANN401
        """What a pass at that time decides on."""
        self.facts = replace(self.facts, **changes)
        if seconds is not None:
            self.facts = replace(self.facts, now=NOW + timedelta(seconds=seconds))
        return await self.opinion.heard(self.holder, self.look)

    async def done(self, seconds: float | None = None, **changes: Any) -> Plan:  # noqa: ANN401
        """Carry out what a pass at that time decides, until nothing is left to do."""
        seen = await self.seen(seconds, **changes)
        plan = decide(seen)
        self.facts = replace(after(seen), blocked=None)
        return plan

    async def runs(self) -> None:
        """Have the first credential issued."""
        assert (await self.done()).issue is not None
        await self.done()
        self.opa.asked.clear()

    @property
    def renewal_due(self) -> float:
        due = renew_at(self.facts)
        assert due is not None
        return (due - NOW).total_seconds() + 1


async def judge_of(*bodies: dict[str, Any]) -> Judge:
    installed = Installed()
    for body in bodies or (policy(PERMIT_ALL),):
        await installed.take(body)
    labels: Any = SimpleNamespace(labels=lambda _: {})
    return Judge(installed.policies, labels, trust_domain="prod.example.com", cluster_labels={})


@pytest.fixture
async def scene() -> Scene:
    return Scene(await judge_of(), NEW)


async def test_yes_lets_be_issued_what_policy_allows_and_is_recorded(scene: Scene) -> None:
    plan = await scene.done()
    assert plan.issue is not None
    decision = scene.facts.task.status.decision
    assert decision is not None
    assert decision.policies[0] == "OPA/data.agentid.allow"
    assert len(decision.policies) == 2
    (asked,) = scene.opa.asked
    assert (asked["action"], asked["resource"]["id"]) == ("issue", NEW.task.uid)  # type: ignore[index, call-overload]


async def test_no_issues_nothing_and_tells_the_reason(scene: Scene) -> None:
    scene.opa.says = NO
    with capture_logs() as logs:
        seen = await scene.seen()
        await scene.seen(1.5)
    assert decide(seen).issue is None
    assert finished(seen) == (
        "False",
        "AwaitingPolicy",
        "OPA denies it (data.agentid.allow): change freeze",
    )
    assert [(each["event"], each["decision_id"]) for each in logs] == [("denied by opa", "d-1")]


async def test_no_is_asked_again_after_growing_pauses_until_it_is_a_yes(scene: Scene) -> None:
    scene.opa.says = NO
    pauses, second = [], 0.0
    for _ in range(9):
        turns_at = decide(await scene.seen(second)).turns_at
        assert turns_at is not None
        before = len(scene.opa.asked)
        await scene.seen(second)  # whatever else happens meanwhile
        assert len(scene.opa.asked) == before
        then = (turns_at - NOW).total_seconds()
        pauses.append(then - second)
        second = then
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    scene.opa.says = YES
    assert why(await scene.seen(second)) is IssueReason.ISSUED


async def test_what_policy_denies_opa_is_not_asked_about() -> None:
    scene = Scene(await judge_of(policy(FORBID)), NEW)
    assert decide(await scene.seen()).issue is None
    assert scene.opa.asked == []


@pytest.mark.parametrize(
    "facts",
    [
        deleted(NEW),
        asks(NEW, state="Suspended"),
        asks(NEW, state="Ended"),
        replace(NEW, pods=()),
        at(running(NEW), 3601),
        replace(running(NEW), pods=()),
    ],
    ids=["deleted", "suspended", "ended", "no pod yet", "deadline", "pod gone"],
)
async def test_end_or_wait_for_something_else_waits_for_no_opa(facts: Observation) -> None:
    scene = Scene(await judge_of(), facts)
    await scene.seen()
    assert scene.opa.asked == []


async def test_running_task_is_asked_about_only_when_something_changes(scene: Scene) -> None:
    await scene.runs()
    for second in (1, 30, 100):
        await scene.done(second)
    assert scene.opa.asked == []
    await scene.done(101, agent=agent(owner="other-team@example.com"))
    await scene.done(102)
    assert [each["principal"]["owner"] for each in scene.opa.asked] == ["other-team@example.com"]  # type: ignore[index, call-overload]


async def test_each_renewal_is_asked_about_once(scene: Scene) -> None:
    await scene.runs()
    for generation in (2, 3):
        await scene.done(scene.renewal_due)
        await scene.done()
        assert scene.facts.task.status.credential_generation == generation
    assert [each["action"] for each in scene.opa.asked] == ["renew", "renew"]


async def test_no_at_a_renewal_or_a_change_ends_the_task_for_good(scene: Scene) -> None:
    await scene.runs()
    scene.opa.says = NO
    running_on = scene.facts
    for second, changes in ((scene.renewal_due, {}), (5, {"agent": agent(owner="other@example.com")})):
        scene.facts = running_on
        plan = await scene.done(second, **changes)
        assert plan.secret is SecretAction.EMPTY
        assert finished(await scene.seen())[:2] == ("True", "Revoked")


async def test_silence_issues_nothing_and_ends_nothing(scene: Scene) -> None:
    scene.opa.says = SILENCE
    seen = await scene.seen()
    assert decide(seen).issue is None
    assert finished(seen) == ("False", "AwaitingPolicy", "OPA did not answer within 1 s.")
    scene.opa.says = YES
    assert why(await scene.seen(1)) is IssueReason.ISSUED


async def test_silence_takes_nothing_away_when_a_static_secret_is_rotated() -> None:
    spec = task_spec(staticSecrets=[{"name": "legacy-crm-key"}])
    scene = Scene(await judge_of(), observe(spec=spec, pods=[pod()], static_secrets=[static_secret()]))
    await scene.runs()
    scene.opa.says = SILENCE
    plan = await scene.done(5, static_secrets=(static_secret(version="aa02"),))
    assert (plan.issue, plan.secret) == (None, SecretAction.NONE)
    assert generations(scene.facts) == [1]
    scene.opa.says = YES
    assert why(await scene.seen(7)) is IssueReason.SECRET_ROTATED


@pytest.mark.parametrize("changed", [False, True], ids=["renewal", "change"])
async def test_silence_leaves_what_runs_for_the_grace_and_then_takes_it_away(
    scene: Scene, *, changed: bool
) -> None:
    await scene.runs()
    scene.opa.says = SILENCE
    began = 5.0 if changed else scene.renewal_due
    changes = {"agent": agent(owner="other-team@example.com")} if changed else {}
    for second in (began, began + 30, began + 59):
        plan = await scene.done(second, **changes)
        assert (plan.issue, plan.secret) == (None, SecretAction.NONE)
        assert plan.turns_at is not None
        assert scene.facts.now < plan.turns_at <= NOW + timedelta(seconds=began) + GRACE
        assert generations(scene.facts) == [1]
    plan = await scene.done(began + 60)
    assert plan.secret is SecretAction.EMPTY
    assert generations(scene.facts) == []
    assert finished(await scene.seen())[:2] == ("False", "AwaitingPolicy")
    scene.opa.says = YES
    assert why(await scene.seen(began + 125)) is IssueReason.REISSUED


async def test_silence_is_looked_at_again_however_long_the_look_after_it_took(scene: Scene) -> None:
    await scene.runs()
    scene.opa.says = SILENCE
    looks = 0

    async def slow_look() -> Observation:
        nonlocal looks
        looks += 1
        if looks > 1:
            scene.facts = replace(scene.facts, now=scene.facts.now + timedelta(seconds=5))
        return replace(scene.facts, judgement=scene.judge.judge(scene.facts))

    scene.facts = replace(scene.facts, now=NOW + timedelta(seconds=scene.renewal_due))
    plan = decide(await scene.opinion.heard(scene.holder, slow_look))
    assert plan.turns_at is not None
    assert scene.facts.now < plan.turns_at <= scene.facts.now + GRACE


async def test_without_grace_silence_takes_away_at_once() -> None:
    scene = Scene(await judge_of(), NEW, grace=timedelta(0))
    await scene.runs()
    scene.opa.says = SILENCE
    assert (await scene.done(scene.renewal_due)).secret is SecretAction.EMPTY


async def test_silence_about_a_changed_intent_leaves_nothing_of_the_old(scene: Scene) -> None:
    await scene.runs()
    scene.opa.says = SILENCE
    intent = {"purpose": "Refund order 4712", "actions": ["orders:read"]}
    plan = await scene.done(5, task=asks(scene.facts, intent=intent).task)
    assert plan.secret is SecretAction.EMPTY
    assert finished(await scene.seen())[:2] == ("False", "AwaitingPolicy")


async def test_operator_that_takes_over_asks_about_what_runs(scene: Scene) -> None:
    await scene.runs()
    scene.holder.opinion = None
    await scene.done(10)
    await scene.done(11)
    assert len(scene.opa.asked) == 1
    assert generations(scene.facts) == [1]


async def test_resumed_task_is_asked_about_anew(scene: Scene) -> None:
    await scene.runs()
    await scene.done(task=asks(scene.facts, state="Suspended").task)
    await scene.done(task=asks(scene.facts, state="Active").task)
    assert [each["action"] for each in scene.opa.asked] == ["resume"]


async def test_task_resumed_with_another_intent_has_to_be_allowed_as_a_new_one_too(scene: Scene) -> None:
    await scene.runs()
    await scene.done(task=asks(scene.facts, state="Suspended").task)
    intent = {"purpose": "Refund order 4712", "actions": ["orders:read"]}
    scene.opa.says = lambda asked: NO if asked["action"] == "issue" else YES
    plan = await scene.done(task=asks(scene.facts, intent=intent).task)
    assert plan.issue is None
    assert [each["action"] for each in scene.opa.asked] == ["resume", "issue"]


async def test_people_are_not_asked_to_approve_what_opa_denies() -> None:
    scene = Scene(await judge_of(policy(NEEDS_APPROVAL)), NEW)
    assert finished(await scene.seen())[1] == "AwaitingApproval"
    (asked,) = scene.opa.asked
    context: Any = asked["context"]
    assert (context["approved"], context["approvals"], context["approvers"]) == (True, 2, [])
    for says in (NO, SILENCE):
        scene.holder.opinion, scene.opa.says = None, says
        assert finished(await scene.seen())[1] == "AwaitingPolicy"


async def test_answer_counts_only_for_what_is_so_when_it_comes(scene: Scene) -> None:
    def switched_off() -> None:
        scene.facts = replace(scene.facts, agent=agent(disabled=True))

    scene.opa.meanwhile = switched_off
    assert (await scene.done()).issue is None
    assert finished(await scene.seen())[:2] == ("True", "Denied")


async def test_answer_to_another_question_does_not_count(scene: Scene) -> None:
    def another_owner() -> None:
        scene.opa.meanwhile = lambda: None
        scene.facts = replace(scene.facts, agent=agent(owner="other-team@example.com"))
        scene.opa.says = NO

    scene.opa.says = lambda _: YES
    scene.opa.meanwhile = another_owner
    assert decide(await scene.seen()).issue is None
    assert len(scene.opa.asked) == 2


async def test_what_changes_all_the_time_is_denied(scene: Scene) -> None:
    def another_owner() -> None:
        owner = f"team-{len(scene.opa.asked)}@example.com"
        scene.facts = replace(scene.facts, agent=agent(owner=owner))

    scene.opa.meanwhile = another_owner
    plan = decide(await scene.seen())
    assert plan.issue is None
    assert plan.turns_at is not None


async def test_question_that_cannot_be_put_is_denied(scene: Scene) -> None:
    def fails(_: Observation) -> tuple[Request, ...]:
        raise ValueError("no labels")

    scene.requests = fails
    with capture_logs() as logs:
        assert decide(await scene.seen()).issue is None
    assert [each["event"] for each in logs] == ["opa could not be asked"]


async def test_error_that_nobody_expected_is_silence(scene: Scene) -> None:
    await scene.runs()

    def fails(_: Json) -> Answer:
        raise RuntimeError("a defect")

    scene.opa.says = fails
    began = scene.renewal_due
    with capture_logs() as logs:
        assert (await scene.done(began)).secret is SecretAction.NONE
        assert (await scene.done(began + 60)).secret is SecretAction.EMPTY
    assert {each["event"] for each in logs} == {"opa could not be asked"}


def test_opinion_of_no_answer_is_no_yes() -> None:
    assert not Opinion(b"", allowed=None).allowed


async def test_step_is_asked_about_before_it_is_granted_and_goes_on_through_silence_for_the_grace() -> None:
    top = parent()
    task = child(top, 2, **STEP)
    task = with_status(task, **dict(AgentTaskStatus()))
    facts = replace(NEW, task=task, pods=(), family=Family(lineage(task, top)), judgement=None)
    allows_all = agent(actions=["orders:read", "refunds:create"])
    scene = Scene(await judge_of(), replace(facts, agent=allows_all))
    scene.opa.says = NO
    refused = decide(await scene.seen())
    assert refused.report is not None
    assert finished(await scene.seen())[:2] == ("False", "AwaitingPolicy")
    scene.opa.says = YES
    await scene.done(100)
    assert finished(await scene.seen())[:2] == ("False", "Running")
    scene.opa.says = SILENCE
    scene.facts = replace(scene.facts, agent=agent(owner="other-team@example.com"))
    assert finished(await scene.seen(110))[1] == "Running"
    assert finished(await scene.seen(159))[1] == "Running"
