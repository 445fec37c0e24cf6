"""Whatever a view is shown, and however time passes: what is over there is refused from that moment on."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentid.gate.question import Call
from agentid.gate.view import Heartbeat
from tests.unit.gate_cases import (
    LIMITS,
    NOW,
    POD_UID,
    SECOND,
    UPTIME,
    Gate,
    agent_body,
    body,
    condition,
    credential,
    pod_body,
    question,
    spec,
    time,
)

LIFE = 300 * SECOND
MAX_AGE = LIMITS.max_age[next(iter(LIMITS.max_age))]


class LifeOfAView(RuleBasedStateMachine):
    """A task that is renewed, suspended, changed and ended, with its pod, its Agent and heartbeats.

    Beside the view stands what is true: which serials count until when, and what speaks against use.
    """

    @initialize()
    def begin(self) -> None:
        self.gate = Gate()
        self.serials: dict[str, datetime] = {}
        self.number = 0
        self.state = "Active"
        self.finished = self.gone = self.disabled = self.pod_over = False
        self.deadline = NOW + 3000 * SECOND
        self.heard_at, self.heard_uptime = NOW, UPTIME
        self.renew()

    def show(self) -> None:
        """Have the view shown the task as it is."""
        if self.gone:
            return
        credentials: list[dict[str, Any]] = [
            credential(serial, notBefore=time(until - LIFE), notAfter=time(until))
            for serial, until in self.serials.items()
        ]
        standing = condition("Finished", "True", "Ended") if self.finished else None
        changes: dict[str, Any] = {"credentials": credentials, "deadline": time(self.deadline)}
        if standing is not None:
            changes["conditions"] = [standing]
        self.gate.take(body(spec(state=self.state), **changes))

    @rule()
    def renew(self) -> None:
        """A new credential counts beside the old one."""
        if self.finished:
            return
        self.number += 1
        alive = sorted((until, serial) for serial, until in self.serials.items() if until > self.gate.now)
        until = min(self.gate.now.replace(microsecond=0) + LIFE, self.deadline)
        self.serials = {serial: end for end, serial in alive[-1:]} | {f"{self.number:032x}": until}
        self.show()

    @rule()
    def revoke(self) -> None:
        """No credential counts any more."""
        self.serials = {}
        self.show()

    @rule(state=st.sampled_from(["Active", "Suspended", "Ended"]))
    def set_state(self, state: str) -> None:
        """Somebody sets the state; Ended is final."""
        self.state = "Ended" if self.state == "Ended" else state
        self.show()

    @rule()
    def finish(self) -> None:
        """The operator ends the task."""
        self.finished, self.serials = True, {}
        self.show()

    @rule()
    def delete(self) -> None:
        """The task is gone."""
        self.gone = True
        self.gate.view.drop_task(("support", "refund-4711"))

    @rule(over=st.booleans())
    def turn_pod(self, over: bool) -> None:  # noqa: FBT001 - what Hypothesis draws
        """The pod finishes, or is another try of it that runs."""
        self.pod_over = over
        self.gate.pod(pod_body(status={"phase": "Succeeded" if over else "Running"}))

    @rule()
    def lose_pod(self) -> None:
        """The pod is gone."""
        self.pod_over = True
        self.gate.view.drop_pod(POD_UID)

    @rule(off=st.booleans())
    def switch_agent(self, off: bool) -> None:  # noqa: FBT001 - what Hypothesis draws
        """The Agent is switched off, or on."""
        self.disabled = off
        self.gate.agent(agent_body(disabled=off))

    @rule(late=st.sampled_from([0, 1, 4, 6]))
    def beat(self, late: int) -> None:
        """A heartbeat comes, maybe one that was long under way."""
        self.heard_at, self.heard_uptime = self.gate.now - late * SECOND, self.gate.uptime
        self.gate.view.beat("", Heartbeat(self.heard_at, self.heard_uptime))

    @rule(seconds=st.sampled_from([0.1, 3.0, 5.1, 100.0, 299.9, 1500.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes."""
        self.gate.now += timedelta(seconds=seconds)
        self.gate.uptime += seconds

    @rule(seconds=st.sampled_from([-3600, -2, -1, 1, 60]))
    def set_clock(self, seconds: int) -> None:
        """Somebody sets the clock of the node."""
        self.gate.now += seconds * SECOND

    def _speaks_against_use(self) -> bool:
        over = self.gone or self.finished or self.state != "Active"
        age = max(self.gate.now - self.heard_at, timedelta(seconds=self.gate.uptime - self.heard_uptime))
        in_doubt = age > MAX_AGE or self.heard_at - self.gate.now > LIMITS.max_skew
        return over or self.disabled or self.pod_over or in_doubt or self.deadline <= self.gate.now

    @invariant()
    def what_is_over_is_refused_and_what_lives_is_not(self) -> None:
        """Each serial that was ever there is asked about."""
        for number in range(1, self.number + 1):
            serial = f"{number:032x}"
            until = self.serials.get(serial)
            begun = until is not None and until - LIFE - LIMITS.max_skew <= self.gate.now
            may = until is not None and begun and self.gate.now < until and not self._speaks_against_use()
            assert self.gate.ask(question(serial=serial)).allowed == may

    @invariant()
    def nothing_beyond_the_intent_is_ever_allowed(self) -> None:
        """Whatever the task lives through."""
        beyond = Call("refunds:create", "order/4711")
        assert not self.gate.ask(question(serial=f"{self.number:032x}", call=beyond)).allowed


LifeOfAView.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLifeOfAView = LifeOfAView.TestCase
