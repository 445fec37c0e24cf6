"""Crashes, late writes, lost watches, two writers: no key without its record, one chain, no end lost."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentid.api.names import API_VERSION, TASK_LABEL, TASK_UID_LABEL
from agentid.cluster.connection import Body
from agentid.cluster.errors import ApiAnswerError, ForbiddenError, ServerError, TooManyRequestsError
from agentid.cluster.paths import AGENTS, LEDGER_BATCHES, PODS, SECRETS, TASKS
from agentid.controller.errors import LedgerOvertakenError
from agentid.ledger.audit import GRACE, Auditor
from agentid.ledger.batch import Batch
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.inventory import Inventory
from agentid.ledger.record import Record
from agentid.lifecycle.journal import GIVES, Kind
from agentid.pki.files import CERTIFICATE_CHAIN_FILE, PRIVATE_KEY_FILE
from tests.component.api_in_memory import OPERATORS_NAMESPACE, ApiServer, Sent
from tests.component.operator_in_memory import OperatorInMemory
from tests.unit.lifecycle_facts import NOW

NAMESPACE = "support"
UNBOUND, BOUND = "triage-1", "refund-1"
TASK_NAMES = st.sampled_from([UNBOUND, BOUND])
BATCHES = LEDGER_BATCHES.path(OPERATORS_NAMESPACE)
RARELY = st.sampled_from([False] * 5 + [True])
LATEST_SECONDS = 100.0
"""How much later than it was sent a write may come: less than the grace for which a name is held."""
TURNS = 25
MOST_ROUNDS = 400
ATTENTION = st.sampled_from(["works", "works", "is busy", "dies after 1", "dies after 2", "dies after 3"])
REFUSALS: dict[str, ApiAnswerError] = {
    "forbidden": ForbiddenError("RBAC says no"),
    "busy": TooManyRequestsError("busy", 1.0),
    "failed": ServerError("etcd is slow"),
}


class Loop(asyncio.SelectorEventLoop):
    """Time passes when the test says so."""

    now = 0.0

    def time(self) -> float:
        return self.now


class Evidence:
    """What the ledger has said so far, read batch by batch as it was written."""

    def __init__(self) -> None:
        self.chain = ChainVerifier()
        self.given: dict[str, Record] = {}
        self.taken: set[str] = set()
        self.kinds: dict[str, Counter[str]] = {}
        self.records: list[Record] = []
        self.batches: list[tuple[Batch, tuple[Record, ...]]] = []
        self.ends: dict[str, Record] = {}
        """The first record of each task's end."""
        self.ended_again: set[str] = set()
        """Tasks of which a second record says so, though the first one took something away.

        One that takes nothing comes before its status: who finds that not written says it again.
        """
        self.late: dict[str, set[str]] = {}
        """By task what was recorded after its end, by an operator that did not know of that yet."""

    def read(self, name: str, spec: object) -> None:
        """Take the next batch: the chain is whole with it."""
        checked = self.chain.feed(name, spec)
        assert not checked.findings, checked.findings
        assert checked.batch is not None
        self.batches.append((checked.batch, checked.records))
        for each in checked.records:
            self.records.append(each)
            uid, serial = each.text("uid"), each.text("serial")
            if each.kind == Kind.ENDED:
                first = self.ends.setdefault(uid, each)
                if first is not each and first.revoked() and uid not in self.late:
                    self.ended_again.add(uid)
            if each.kind in GIVES and uid in self.ends:
                self.late.setdefault(uid, set()).add(serial)
            self.kinds.setdefault(uid, Counter())[each.kind] += 1
            if each.kind in GIVES:
                assert serial not in self.given, "a serial was recorded twice"
                self.given[serial] = each
            self.taken |= {serial for serial, _ in each.revoked()}

    def story(self, uid: str) -> list[str]:
        """What was recorded of a task: which batch, by whom, what, of which credentials."""
        return [
            f"{batch.sequence} {batch.writer} {each.kind} {each.text('serial')[:6]} "
            f"revoked {[serial[:6] for serial, _ in each.revoked()]} {each.text('message')[:50]}"
            for batch, records in self.batches
            for each in records
            if each.text("uid") == uid
        ]

    def inventory(self, now: datetime) -> Inventory:
        """What is out by all that was recorded."""
        found = Inventory(now)
        found.feed(self.records)
        return found


def serials(task: Body) -> list[str]:
    return [each["serial"] for each in task.get("status", {}).get("credentials", [])]


def serial_in(secret: Body) -> str | None:
    """The serial of the credential in a Secret; None where it is empty."""
    if not (secret.get("data") or {}).get(PRIVATE_KEY_FILE):
        return None
    chain = b64decode(secret["data"][CERTIFICATE_CHAIN_FILE])
    return f"{x509.load_pem_x509_certificate(chain).serial_number:x}"


def is_over(task: Body) -> bool:
    said = [each for each in task.get("status", {}).get("conditions", []) if each["type"] == "Finished"]
    return any(each["status"] == "True" for each in said)


def happening(**given: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a rule of something that happens, and of what the operator that leads does then."""

    def of(function: Callable[..., None]) -> Callable[..., None]:
        def happens(self: LedgerAndLife, attention: str = "is busy", **values: object) -> None:
            function(self, **values)
            self.notice(attention)

        # By that name it stands in what is printed of a failure.
        happens.__name__ = function.__name__
        return rule(attention=ATTENTION, **given)(happens)  # type: ignore[no-any-return]

    return of


class LedgerAndLife(RuleBasedStateMachine):
    """Two tasks, an operator that leads, one that stands by, and one that has led and may think it does."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        asyncio.set_event_loop(self.loop)
        self.server, self.evidence = ApiServer(), Evidence()
        self.server.told.append(self._look)
        self.policy: dict[str, object] = {}
        self.sent_at: dict[Sent, float] = {}
        self.ledger_is: str | None = None
        self.overtaken = 0
        self.two_led = False
        """Whether two have led at once for a while, as no Lease lets them."""
        self.hindered = timedelta()
        """For how long nothing was answered, or no lease was held: an end may come so much later."""
        self.begun: set[str] = set()
        self.released: set[str] = set()
        self.past: list[OperatorInMemory] = []
        self.server.put(AGENTS.path(NAMESPACE, "refund-agent"), _agent())
        self.leader, self.standby = self._operator(), self._operator()

    def _operator(self) -> OperatorInMemory:
        found = OperatorInMemory(self.server, self.policy, self.loop.time, self._now)
        self._do(found.start)
        return found

    def _now(self) -> datetime:
        return NOW + timedelta(seconds=self.loop.now)

    def _do(self, call: Callable[[], object]) -> None:
        """Call something in the loop, and let everybody have some turns."""

        async def turns() -> None:
            call()
            for _ in range(TURNS):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
        for each in self.server.on_the_way:
            self.sent_at.setdefault(each, self.loop.now)

    def _turns(self) -> None:
        self._do(lambda: None)
        self._mind_the_fallen()

    def _mind_the_fallen(self) -> None:
        """Start processes again that ended themselves: none does but for another's batch."""
        for each in (self.leader, self.standby, *self.past):
            if (why := each.has_failed) is None:
                continue
            assert isinstance(why, LedgerOvertakenError), repr(why)
            self.overtaken += 1
            self.loop.run_until_complete(each.kill())
            if each is self.leader:
                self.leader = self._operator()
                self._do(self.leader.lead)
            elif each is self.standby:
                self.standby = self._operator()
            else:
                self.past.remove(each)

    @initialize(
        live=st.booleans(),
    )
    def begin(self, *, live: bool) -> None:
        self._do(self.leader.lead)
        if live:
            self._create(UNBOUND)
            self._create(BOUND)
            self.settle()

    # What people and pods do.

    def _create(self, name: str) -> None:
        self.server.put(TASKS.path(NAMESPACE, name), _task(name, self._now()))
        pod = PODS.path(NAMESPACE, name)
        if name == BOUND and pod not in self.server.objects:
            self.server.put(pod, _pod(name, self._now()))

    def _change(self, name: str, **spec: object) -> None:
        path = TASKS.path(NAMESPACE, name)
        there = self.server.objects.get(path)
        if there is not None and there["spec"]["state"] != "Ended":
            metadata = {**there["metadata"], "generation": there["metadata"]["generation"] + 1}
            self.server.put(path, {**there, "metadata": metadata, "spec": {**there["spec"], **spec}})

    @happening(name=TASK_NAMES)
    def create_task(self, name: str) -> None:
        if TASKS.path(NAMESPACE, name) not in self.server.objects:
            self._create(name)

    @happening(name=TASK_NAMES, state=st.sampled_from(["Suspended", "Active", "Active"]))
    def set_state(self, name: str, state: str) -> None:
        self._change(name, state=state)

    @happening(name=TASK_NAMES, really=RARELY)
    def end(self, name: str, *, really: bool) -> None:
        if really:
            self._change(name, state="Ended")

    @happening(name=TASK_NAMES, purpose=st.sampled_from(["Refund", "Triage"]))
    def change_intent(self, name: str, purpose: str) -> None:
        self._change(name, intent={"purpose": purpose, "actions": ["orders:read"]})

    @happening(name=TASK_NAMES, really=RARELY)
    def delete(self, name: str, *, really: bool) -> None:
        if really:
            self.server.put(TASKS.path(NAMESPACE, name), None)

    @happening(really=RARELY)
    def finish_pod(self, *, really: bool) -> None:
        pod = self.server.objects.get(PODS.path(NAMESPACE, BOUND))
        if really and pod is not None:
            self.server.put(PODS.path(NAMESPACE, BOUND), {**pod, "status": _succeeded()})

    @happening(really=RARELY)
    def delete_pod(self, *, really: bool) -> None:
        if really:
            self.server.put(PODS.path(NAMESPACE, BOUND), None)

    @happening(really=RARELY)
    def forbid(self, *, really: bool) -> None:
        if really:
            self.policy |= {"allowed": False, "message": "a rule forbids it"}
            self._do(self.leader.duty.look_at_all)

    @rule()
    def allow(self) -> None:
        self.policy.clear()
        self._do(self.leader.duty.look_at_all)

    # What becomes of writes.

    def _pick(self, index: int) -> Sent | None:
        waiting = self.server.on_the_way
        return waiting[index % len(waiting)] if waiting else None

    @rule(index=st.integers(0, 5), answered=st.booleans())
    def carry_out(self, index: int, *, answered: bool) -> None:
        if (sent := self._pick(index)) is not None:
            self._do(lambda: self.server.deliver(sent, answered=answered))

    @rule(index=st.integers(0, 5), how=st.sampled_from(sorted(REFUSALS)))
    def refuse(self, index: int, how: str) -> None:
        if (sent := self._pick(index)) is not None:
            self._do(lambda: self.server.refuse(sent, REFUSALS[how]))

    @rule(how=st.sampled_from(["refused", "hanging", None]))
    def break_ledger(self, how: str | None) -> None:
        """Batches are refused, or not answered, from now on."""
        self.ledger_is = how

    # What becomes of operators.

    @rule()
    def kill(self) -> None:
        """kill -9, and start again with nothing."""
        self.loop.run_until_complete(self.leader.kill())
        self.leader = self._operator()
        self._do(self.leader.lead)

    @rule(how=st.sampled_from(["notices", "hangs", "leads too"]))
    def fail_over(self, how: str) -> None:
        """The standby takes over; the one before notices, is amid something, or has another Lease."""
        before, self.leader = self.leader, self.standby
        if how == "notices":
            self._do(before.step_down)
        elif how == "hangs":
            before.lease.held = False
        else:
            self.two_led = True
        self._do(self.leader.lead)
        self.past.append(before)
        if len(self.past) > 1:
            self.loop.run_until_complete(self.past.pop(0).kill())
        self.standby = self._operator()

    @rule()
    def lease_is_late(self) -> None:
        """It cannot be renewed in time, or it is again, before anybody took it."""
        self.leader.lease.held = not self.leader.lease.held

    @rule()
    def past_notices(self) -> None:
        # Whether there is one is no precondition: which rules there are may not hang on who met whose batch.
        if self.past:
            self._do(self.past[-1].step_down)

    @rule()
    def give_back(self) -> None:
        """One that led before leads again, in the same process."""
        if not self.past:
            return
        before, self.leader = self.leader, self.past.pop()
        # Led by another meanwhile and never told: what it was amid goes on, where no Lease would let it.
        self.two_led = self.two_led or self.leader.duty.is_on
        self._do(before.step_down)
        self._do(self.leader.step_down)
        self._do(self.leader.lead)
        self.past.append(before)

    @rule(who=st.sampled_from(["leader", "standby"]))
    def lose_watches(self, who: str) -> None:
        getattr(self, who).is_blind = True

    @rule(who=st.sampled_from(["leader", "standby"]))
    def see_again(self, who: str) -> None:
        self._see(getattr(self, who))

    def _see(self, operator: OperatorInMemory) -> None:
        operator.is_blind = False
        self._do(operator.look_at_all)

    # Time, and work.

    @rule(seconds=st.sampled_from([1, 4, 20, 45]))
    def pass_time(self, seconds: int) -> None:
        """Nothing is answered meanwhile."""
        for _ in range(seconds):
            self._second()
            self.hindered += timedelta(seconds=1)

    @rule(seconds=st.sampled_from([20, 45, 130]))
    def work_on(self, seconds: int) -> None:
        """All that is sent is carried out at once, but for the ledger where that is broken."""
        for _ in range(seconds // 5):
            for _ in range(5):
                self._second()
                self._deliver_all()

    def _second(self) -> None:
        self.loop.now += 1.0
        if not self.leader.lease.held:
            self.hindered += timedelta(seconds=1)
        self._turns()
        # What was given up long ago does not come any more.
        for each in [sent for sent in self.server.on_the_way if sent.answer.done()]:
            if self.loop.now - self.sent_at[each] > LATEST_SECONDS:
                self.server.on_the_way.remove(each)

    def _deliver_all(self) -> bool:
        """Carry out, in its order, all that is on its way; return whether there was anything."""
        did = False
        for sent in list(self.server.on_the_way):
            if sent.is_of_the_ledger and self.ledger_is == "hanging":
                continue
            did = True
            if sent.is_of_the_ledger and self.ledger_is == "refused":
                self.server.refuse(sent, REFUSALS["forbidden"])
            else:
                self.server.deliver(sent)
            self._turns()
        return did

    def notice(self, attention: str) -> None:
        if attention == "works":
            for _ in range(12):
                if not self._deliver_all():
                    break
        elif attention != "is busy":
            for _ in range(int(attention.rsplit(maxsplit=1)[-1])):
                self._turns()
                if self.server.on_the_way:
                    self.server.deliver(self.server.on_the_way[-1])
            self._turns()
            self.kill()

    def settle(self) -> None:
        """Let the leader come to rest, alone, seeing all, with nothing broken."""
        self.ledger_is, self.leader.lease.held = None, True
        for each in self.past:
            self.loop.run_until_complete(each.kill())
        self.past.clear()
        for each in (self.leader, self.standby):
            self._see(each)
        for _ in range(MOST_ROUNDS):
            self._turns()
            if self._deliver_all():
                continue
            if self.leader.is_at_rest:
                break
            self._second()
        else:
            raise AssertionError(f"not at rest: {self.leader.ledger.blocked}, {self.server.on_the_way}")

    # What always holds.

    def _look(self, path: str, before: Body | None, now: Body | None) -> None:
        """Look at what was written just now."""
        if path.startswith(BATCHES) and now is not None:
            assert before is None, "a batch was written over"
            self.evidence.read(now["metadata"]["name"], now["spec"])
        elif f"/{SECRETS.plural}/" in path and OPERATORS_NAMESPACE not in path and now is not None:
            serial = serial_in(now)
            assert serial is None or serial in self.evidence.given, "a key is readable before its record"
            if serial is not None:
                self.released.add(serial)
                uid = now["metadata"]["labels"][TASK_UID_LABEL]
                assert self.evidence.given[serial].text("uid") == uid
        elif f"/{TASKS.plural}/" in path and now is not None:
            self._check_status(before, now)

    def _check_status(self, before: Body | None, now: Body) -> None:
        uid = now["metadata"]["uid"]
        earlier = serials(before) if before is not None else []
        new = [each for each in serials(now) if each not in earlier]
        assert len(new) <= 1
        for each in serials(now):
            assert each in self.evidence.given, "a status lists what no record has"
            assert self.evidence.given[each].text("uid") == uid
        if now.get("status", {}).get("startTime"):
            self.begun.add(uid)
        if is_over(now):
            assert not serials(now)

    @invariant()
    def one_key_is_readable_at_the_most(self) -> None:
        for name in (UNBOUND, BOUND):
            secret = self.server.objects.get(SECRETS.path(NAMESPACE, f"agentid-{name}"))
            task = self.server.objects.get(TASKS.path(NAMESPACE, name))
            serial = serial_in(secret) if secret is not None else None
            if serial is not None and task is not None and serials(task):
                newest = self.evidence.given[serials(task)[-1]]
                # Where a former one is there still, it is not another's and not newer.
                assert self.evidence.given[serial].at <= newest.at

    def _check_all_is_told(self) -> None:
        """See that the ledger says of each task and credential what is so."""
        tasks = self.server.read(TASKS.path(NAMESPACE))["items"]
        there = {each["metadata"]["uid"]: each for each in tasks}
        live = {uid: set(serials(each)) for uid, each in there.items()}
        now = self._now()
        for serial, record in self.evidence.given.items():
            uid = record.text("uid")
            ends = record.time("not_after")
            assert ends is not None
            counts = serial in live.get(uid, ())
            if ends <= now:
                continue
            assert counts or serial in self.evidence.taken, f"{serial} of {uid} was issued and is nowhere"
            if counts and serial in self.evidence.taken:
                # Its status came too late: it was void by then, and its key was never readable. Where two
                # led at once it may have been; it has a successor then.
                is_newest = serial == serials(there[uid])[-1]
                assert serial not in self.released or (self.two_led and not is_newest), (
                    f"{serial} of {uid} counts, and is revoked: {self.evidence.story(uid)}"
                )
        inventory = self.evidence.inventory(now)
        out = {(task.uid, each.serial) for task, each in inventory.live()}
        assert out == {
            (uid, serial)
            for uid, found in live.items()
            for serial in found - self.evidence.taken
            if (self.evidence.given[serial].time("not_after") or now) > now
        }
        for uid, kinds in self.evidence.kinds.items():
            if not uid:
                continue
            over = uid not in there or is_over(there[uid])
            told = kinds[Kind.ENDED]
            assert self.evidence.ended_again.isdisjoint({uid}), f"{uid} has ended twice"
            if over and uid in self.begun:
                assert told, f"no record says that {uid} has ended: {self.evidence.story(uid)}"
            if not over:
                assert not told, f"{uid} goes on, and a record says that it ended"
        begun = {each.uid for each in inventory.tasks()}
        assert begun <= set(there), "a task is out in the ledger that is gone"

    def teardown(self) -> None:
        """Let all of it come to its end, and read the whole ledger as an auditor does."""
        try:
            if self.leader.duty.is_on:
                self._end_of_all()
        finally:
            for each in (self.leader, self.standby, *self.past):
                self.loop.run_until_complete(each.kill())
            self.loop.close()
            asyncio.set_event_loop(None)

    def _end_of_all(self) -> None:
        self.policy.clear()
        self.settle()
        # What another has written meanwhile is met at the next write.
        self._change(UNBOUND, intent={"purpose": "Something else", "actions": ["orders:read"]})
        self._create("last")
        self.settle()
        self.kill()
        self.settle()
        self._check_all_is_told()
        chain = ChainVerifier()
        for body in self.server.read(BATCHES)["items"]:
            assert not chain.feed(body["metadata"]["name"], body["spec"]).findings
        assert not [each for each in chain.finish()[1] if not each.kind.is_notice]
        auditor = Auditor(grace=GRACE + self.hindered)
        for batch, records in self.evidence.batches:
            assert not (found := auditor.feed(batch, records)), found
        assert not (found := auditor.finish(self._now() + self.hindered)), found
        assert not any(self.released & each for each in self.evidence.late.values()), "released after the end"


def _agent() -> Body:
    spec = {
        "owner": "payments-team@example.com",
        "class": "Ephemeral",
        "actions": ["orders:read"],
        "serviceAccounts": ["refund-agent"],
    }
    return {
        "metadata": {"name": "refund-agent", "namespace": NAMESPACE, "uid": "agent", "generation": 1},
        "spec": spec,
    }


_made = iter(range(1, 10**9))


def _task(name: str, now: datetime) -> Body:
    spec: dict[str, object] = {
        "agentRef": {"name": "refund-agent"},
        "intent": {"purpose": "Refund", "actions": ["orders:read"]},
        "requester": {"username": "orchestrator"},
        "state": "Active",
        "credential": {"ttlSeconds": 60},
        "activeDeadlineSeconds": 400,
        "startDeadlineSeconds": 200,
        "ttlSecondsAfterFinished": 300,
    }
    if name == BOUND:
        spec["workload"] = {"serviceAccountName": "refund-agent"}
    metadata = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"5c0e0000-0000-4000-8000-{next(_made):012d}",
        "generation": 1,
        "creationTimestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }
    return {"apiVersion": API_VERSION, "kind": TASKS.kind, "metadata": metadata, "spec": spec}


def _pod(task: str, now: datetime) -> Body:
    metadata = {
        "name": task,
        "namespace": NAMESPACE,
        "uid": f"5c0e0000-0000-4000-8000-{next(_made):012d}",
        "labels": {TASK_LABEL: task},
        "creationTimestamp": f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }
    container = {"name": "agent", "image": "agent:1"}
    spec = {"nodeName": "node-3", "serviceAccountName": "refund-agent", "containers": [container]}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}


def _succeeded() -> Body:
    ended = {"exitCode": 0, "reason": "Completed"}
    return {
        "phase": "Succeeded",
        "containerStatuses": [{"name": "agent", "state": {"terminated": ended}}],
    }


LedgerAndLife.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestLedgerAndLife = LedgerAndLife.TestCase

Happened = tuple[str, dict[str, Any]]
STORIES: dict[str, tuple[Happened, ...]] = {
    "a dead operator's status comes late, and drops what its successor found to count": (
        ("begin", {"live": False}),
        ("create_task", {"name": BOUND, "attention": "dies after 3"}),
        ("finish_pod", {"really": False, "attention": "dies after 3"}),
        ("finish_pod", {"really": True, "attention": "is busy"}),
    ),
    "an operator drops what another one gave, and does not live to record it": (
        ("begin", {"live": True}),
        ("work_on", {"seconds": 45}),
        ("fail_over", {"how": "leads too"}),
        ("finish_pod", {"really": False, "attention": "works"}),
        ("finish_pod", {"really": True, "attention": "is busy"}),
    ),
    "what a dead operator recorded as the beginning comes into no status, and is past by then": (
        ("begin", {"live": False}),
        ("create_task", {"name": UNBOUND, "attention": "dies after 2"}),
        *(("pass_time", {"seconds": 45}) for _ in range(3)),
        ("kill", {}),
        *(("work_on", {"seconds": 130}) for _ in range(3)),
    ),
    "who dies after recording the end of what had nothing leaves it to be recorded again": (
        ("begin", {"live": False}),
        ("create_task", {"name": UNBOUND, "attention": "dies after 1"}),
        ("end", {"name": UNBOUND, "really": True, "attention": "is busy"}),
        ("finish_pod", {"really": False, "attention": "dies after 3"}),
    ),
    "nobody holds the lease for longer than a task may end late": (
        ("begin", {"live": True}),
        ("lease_is_late", {}),
        *(("work_on", {"seconds": 130}) for _ in range(6)),
        ("lease_is_late", {}),
        ("work_on", {"seconds": 130}),
    ),
    "a task ends, and who leads next has not seen it by then": (
        ("begin", {"live": True}),
        ("lose_watches", {"who": "standby"}),
        ("end", {"name": UNBOUND, "really": True, "attention": "works"}),
        ("fail_over", {"how": "notices"}),
        ("work_on", {"seconds": 20}),
    ),
    "tasks end, and who leads next is amid a pass over one when it sees that": (
        ("begin", {"live": True}),
        ("lose_watches", {"who": "standby"}),
        ("forbid", {"really": True, "attention": "is busy"}),
        ("set_state", {"name": UNBOUND, "state": "Active", "attention": "works"}),
        ("fail_over", {"how": "notices"}),
    ),
    "a task ends and is deleted, and who leads next has not seen it by then": (
        ("begin", {"live": True}),
        ("lose_watches", {"who": "standby"}),
        ("delete", {"name": UNBOUND, "really": True, "attention": "works"}),
        ("fail_over", {"how": "notices"}),
        ("work_on", {"seconds": 20}),
    ),
}
"""What once showed a mistake, here or in the operator."""


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_what_went_wrong_once_goes_right(story: tuple[Happened, ...]) -> None:
    scene = LedgerAndLife()
    try:
        for name, values in story:
            getattr(scene, name)(**values)
            scene.one_key_is_readable_at_the_most()
    finally:
        scene.teardown()
