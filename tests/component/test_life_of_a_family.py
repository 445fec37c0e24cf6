"""Whatever is asked of a family of tasks, in any order: no child is wider or longer than what it is under."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agentid.api.agent import Sensitivity
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import MAX_DEPTH, AgentTaskStatus
from agentid.api.fields import format_time
from tests.component.family_in_memory import Body, Operator, Policy, Server
from tests.unit.lifecycle_facts import ALLOW, task_spec

ACTIONS = ["a:read", "a:write", "a:pay"]
NAMES = [f"t{number}" for number in range(8)]
WITH_PODS = [*NAMES[:4], *NAMES[5:]]
"""Those whose pods come and go; `t4` is a step at first."""
INTENTS = st.builds(
    lambda purpose, actions, grantable, resources, sensitivity: {
        "purpose": purpose,
        "actions": actions,
        "grantable": grantable,
        "resources": resources,
        "sensitivity": sensitivity,
    },
    st.sampled_from(["one", "another"]),
    st.lists(st.sampled_from(ACTIONS), min_size=1, unique=True, max_size=3),
    st.lists(st.sampled_from(ACTIONS), unique=True, max_size=2),
    st.lists(st.sampled_from(["order/1", "order/2"]), unique=True, max_size=2),
    st.sampled_from(["Public", "Internal", "Confidential"]),
)
WIDE: dict[str, object] = {
    "purpose": "All",
    "actions": ACTIONS,
    "grantable": ACTIONS,
    "sensitivity": "Confidential",
}
NARROW = WIDE | {"actions": ACTIONS[:2], "grantable": ACTIONS[:2]}
ATTENTION = st.sampled_from(["looks", "looks", "looks", "looks once", "is busy", "dies"])
ENDS_NOTHING = {Policy.WANTS_A_POD, Policy.WANTS_AN_APPROVAL, Policy.IN_DOUBT}
POLICIES = st.sampled_from([Policy.ALLOWS, Policy.ALLOWS, *Policy])
RARELY = st.sampled_from([True] + [False] * 3)
MAX_PASSES = 2000


def asked_by(generation: int, *, may: bool) -> dict[str, object]:
    return {"username": "orchestrator", "mayDelegate": may, "intentGeneration": generation}


class LifeOfAFamily(RuleBasedStateMachine):
    """Eight names, whose tasks are each other's children as it happens."""

    @initialize()
    def begin(self) -> None:
        self.server = Server(written=self._check_what_was_written)
        self.operator = Operator(self.server)
        self.decided: dict[str, Body] = {}
        for name, of in (("t0", None), ("t1", "t0"), ("t2", "t1"), ("t3", "t2"), ("t4", "t1")):
            parent = None if of is None else self.server.tasks[of]
            self.server.create(name, self._spec(NARROW, 120, parent, step=name == "t4"))
            if name in WITH_PODS:
                self.server.next_pod(name)
            self._notice("looks", name)
        assert all(map(is_live, self.server.tasks.values()))

    def _spec(
        self,
        intent: dict[str, object],
        active: int,
        parent: Body | None,
        *,
        step: bool,
        may: bool = True,
        bound: bool = True,
    ) -> AgentTaskSpec:
        credential: dict[str, object] = {"ttlSeconds": 60, "renew": not step}
        parts: dict[str, object] = {
            "intent": {**intent, "grantable": []} if step else intent,
            "credential": credential | ({"mode": "None"} if step else {}),
            "activeDeadlineSeconds": active,
            "startDeadlineSeconds": 200,
            "ttlSecondsAfterFinished": 600,
            "workload": ALLOW if bound and not step else None,
            "onBehalfOf": None,
            "requester": asked_by(1, may=may),
        }
        if parent is not None:
            parts["parentRef"] = {key: parent["metadata"][key] for key in ("name", "uid")}
        return task_spec(**parts)

    # What people do.

    @rule(
        name=st.sampled_from(NAMES),
        of=st.sampled_from(NAMES),
        intent=st.one_of(st.none(), st.none(), INTENTS),
        active=st.sampled_from([60, 120, 120, 120]),
        step=st.sampled_from([False, False, True]),
        may=st.sampled_from([True] * 5 + [False]),
        later=st.sampled_from([0, 0, 7]),
        attention=ATTENTION,
    )
    def create(
        self,
        name: str,
        of: str,
        intent: dict[str, object] | None,
        active: int,
        *,
        step: bool,
        may: bool,
        later: int,
        attention: str,
    ) -> None:
        self._pass(later)
        parent = self.server.tasks.get(of)
        is_step = step and parent is not None
        bound = name in WITH_PODS or (parent is not None and "workload" in parent["spec"])
        inherited = parent["spec"]["intent"] if parent is not None else WIDE
        spec = self._spec(intent or inherited, active, parent, step=is_step, may=may, bound=bound)
        self.server.create(name, spec)
        self._notice(attention, name)

    def _change(self, name: str, attention: str, **parts: object) -> None:
        body = self.server.tasks.get(name)
        if body is None or body["spec"].get("state") == "Ended":
            return
        self.server.change(name, AgentTaskSpec.model_validate({**body["spec"], **parts}))
        self._notice(attention, name)

    @rule(name=st.sampled_from(NAMES[:5]), intent=st.one_of(st.just(WIDE), INTENTS), attention=ATTENTION)
    def change_intent(self, name: str, intent: dict[str, object], attention: str) -> None:
        body = self.server.tasks.get(name)
        if body is not None:
            is_step = body["spec"]["credential"].get("mode") == "None"
            wanted = {**intent, "grantable": []} if is_step else intent
            asker = asked_by(body["metadata"]["generation"] + 1, may=True)
            self._change(name, attention, intent=wanted, requester=asker)

    @rule(
        name=st.sampled_from(NAMES[:5]),
        state=st.sampled_from(["Suspended", "Active", "Active"]),
        attention=ATTENTION,
    )
    def set_state(self, name: str, state: str, attention: str) -> None:
        self._change(name, attention, state=state)

    @rule(name=st.sampled_from(WITH_PODS), comes=st.booleans(), attention=ATTENTION)
    def change_pod(self, name: str, *, comes: bool, attention: str) -> None:
        self.server.pods.pop(name, None)
        if comes:
            self.server.next_pod(name)
        self._notice(attention, name, told=True)

    @rule(name=st.sampled_from(NAMES[:5]), policy=POLICIES, attention=ATTENTION)
    def change_policy(self, name: str, policy: Policy, attention: str) -> None:
        self.server.policies[name] = policy
        self._notice(attention, name, told=True)

    @rule(name=st.sampled_from(NAMES), really=RARELY, attention=ATTENTION)
    def end(self, name: str, *, really: bool, attention: str) -> None:
        if really:
            self._change(name, attention, state="Ended")

    @rule(name=st.sampled_from(NAMES), really=RARELY, attention=ATTENTION)
    def delete(self, name: str, *, really: bool, attention: str) -> None:
        before = self.server.tasks.pop(name, None) if really else None
        if before is not None:
            self._notice(attention, name, before)

    @rule(seconds=st.sampled_from([1, 10, 30, 130]))
    def pass_time(self, seconds: int) -> None:
        self._pass(seconds)

    def _pass(self, seconds: int) -> None:
        until = self.server.now + timedelta(seconds=seconds)
        self._quiesce()
        while (at := min(self.operator.wakes.values(), default=until)) < until:
            self.server.now = max(at, self.server.now)
            self._quiesce()
        self.server.now = until

    # What the operator does.

    def _notice(self, attention: str, name: str, before: Body | None = None, *, told: bool = False) -> None:
        if told:
            self.operator.look_at(name)
        if attention == "dies":
            self.operator.see(name, before)
            self.operator.pass_over_one()
            self.operator = Operator(self.server)
            return
        self.operator.see(name, before)
        if attention == "looks":
            self._quiesce()
        elif attention == "looks once":
            self.operator.pass_over_one()

    @rule(index=st.integers(0, 7))
    @precondition(lambda self: self.operator.waiting)
    def look_at_one(self, index: int) -> None:
        self.operator.pass_over_one(index)

    @rule()
    @precondition(lambda self: self.operator.waiting)
    def look_at_the_last_one(self) -> None:
        self.operator.pass_over_one(-1)

    @rule()
    def kill(self) -> None:
        self.operator = Operator(self.server)

    def _quiesce(self) -> None:
        self.operator.wake()
        for _ in range(MAX_PASSES):
            if not self.operator.pass_over_one():
                break
        else:
            raise AssertionError(f"still acting after {MAX_PASSES} passes")
        self._check()

    # What always holds once all was looked at.

    def _check(self) -> None:
        for body in self.server.tasks.values():
            if is_live(body):
                self._check_chain(body)
            shown = {each["name"] for each in body["status"].get("grants", [])}
            steps = {
                name
                for name, each in self.server.tasks.items()
                if each["spec"].get("parentRef", {}).get("uid") == body["metadata"]["uid"]
                and is_granted(each)
            }
            assert shown == (steps if body["status"].get("credentials") else set())

    def _check_chain(self, body: Body) -> None:
        child, depth = body, 0
        while (reference := child["spec"].get("parentRef")) is not None:
            above = self.server.tasks.get(reference["name"])
            assert above is not None, "its parent is gone"
            assert above["metadata"]["uid"] == reference["uid"], "its parent is another task"
            assert above["spec"].get("state", "Active") == "Active"
            assert not finished(above)
            self._check_within(child, above)
            self._check_allowed(above)
            child, depth = above, depth + 1
            assert depth <= MAX_DEPTH

    def _check_allowed(self, body: Body) -> None:
        name = body["metadata"]["name"]
        policy = self.server.policies.get(name, Policy.ALLOWS)
        assert policy.allows(has_pod=name in self.server.pods or "workload" not in body["spec"])

    # What always holds when a status is written.

    def _check_what_was_written(self, before: Body, after: Body) -> None:
        """What is given newly is within what each task above was given itself, and that one runs."""
        if finished(after):
            assert condition(after, "Finished")["message"] not in {each.value for each in ENDS_NOTHING}
        is_another = before["status"].get("specHash") != after["status"].get("specHash")
        is_new = before["status"].get("credentialGeneration") != after["status"].get("credentialGeneration")
        is_renewal = condition(after, "CredentialIssued").get("reason") == "Renewed"
        begins = is_live(after) and not is_live(before)
        if not is_live(after) or not (is_another or begins or (is_new and not is_renewal)):
            return
        self.decided[after["metadata"]["uid"]] = after["spec"]["intent"]
        child = after
        while (reference := child["spec"].get("parentRef")) is not None:
            child = self.server.tasks[reference["name"]]
            assert condition(child, "Finished")["reason"] == "Running", "who has nothing to give gave"
            assert is_within(after["spec"]["intent"], self.decided[child["metadata"]["uid"]])

    def _check_within(self, child: Body, above: Body) -> None:
        assert is_within(child["spec"]["intent"], above["spec"]["intent"])
        assert child["status"]["deadline"] <= above["status"]["deadline"]
        assert above["status"]["deadline"] > format_time(self.server.now)

    @invariant()
    def no_credential_outlives_what_it_is_under(self) -> None:
        if not hasattr(self, "server"):
            return
        for body in self.server.tasks.values():
            status = AgentTaskStatus.model_validate(body["status"])
            chain = status.delegation.chain if status.delegation is not None else []
            for each in chain:
                above = self.server.tasks.get(each.name)
                if above is None or above["metadata"]["uid"] != each.uid or not status.credentials:
                    continue
                deadline = above["status"].get("deadline")
                if deadline is not None:
                    assert format_time(latest(status)) <= deadline


def is_within(asked: Body, given: Body) -> bool:
    may = {*given["actions"], *given.get("grantable", [])}
    to, limited_to = set(asked.get("resources", [])), set(given.get("resources", []))
    return (
        {*asked["actions"], *asked.get("grantable", [])} <= may
        and (not limited_to or (bool(to) and to <= limited_to))
        and Sensitivity(asked["sensitivity"]).rank <= Sensitivity(given["sensitivity"]).rank
    )


def latest(status: AgentTaskStatus) -> datetime:
    return max(each.not_after for each in status.credentials)


def condition(body: Body, kind: str) -> dict[str, Any]:
    found = (each for each in body["status"].get("conditions", []) if each["type"] == kind)
    return next(found, {})


def finished(body: Body) -> bool:
    return bool(condition(body, "Finished").get("status") == "True")


def is_granted(body: Body) -> bool:
    return bool(condition(body, "Granted").get("status") == "True")


def is_live(body: Body) -> bool:
    return bool(body["status"].get("credentials")) or is_granted(body)


LifeOfAFamily.TestCase.settings = settings(max_examples=50, stateful_step_count=20)
TestLifeOfAFamily = LifeOfAFamily.TestCase
