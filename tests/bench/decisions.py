"""`python -m tests.bench.decisions`: the decision itself, without a server, in a process of its own.

Its command line tells how many live tasks it knows, how many policies there are in each of the two layers,
whether the rules are sliced before they are asked (`sliced`) or not (`whole`), and how many questions there
are. It prints what it found as JSON.
"""

import asyncio
import itertools
import random
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, Self
from unittest.mock import patch

import orjson

from agentid.api.agent import Sensitivity
from agentid.gate.answer import Answer
from agentid.gate.asking import Asking
from agentid.gate.case import Limits
from agentid.gate.deciding import Deciding
from agentid.gate.decision_line import Chain
from agentid.gate.decision_log import DecisionLog
from agentid.gate.known_task import KnownTask
from agentid.gate.metrics import GateMetrics
from agentid.gate.question import Call, EnforcementPoint, Question
from agentid.gate.settings import GateSettings
from agentid.gate.view import Heartbeat, View
from agentid.policy.layer import Layer
from agentid.watched.facts import agent_facts, pod_facts
from tests.bench.figures import percentile
from tests.bench.policies import cedar
from tests.unit import gate_cases
from tests.unit.policy_questions import PERMIT, cluster, namespace

SLICED: Final = "sliced"
WHOLE: Final = "whole"
_NAMESPACES: Final = 100
_TEXTS: Final = 10
_BETWEEN_TURNS: Final = 32
_OPENS_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 5.0
_SHARE: Final = 0.5
"""Of what it can decide a second, so much is asked of it where its delays are measured."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one process found.

    Attributes:
        per_second: Decisions in a second of processor time.
        p50_ms: Median of the time that one took.
        p99_ms: All but a hundredth took no longer.
        first_ms: Median of the first decision about a task, which makes its question ready.
        half_load_p99_ms: From when a question came, at half that pace and at random moments, to its answer.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    first_ms: float
    half_load_p99_ms: float

    @classmethod
    def median(cls, found: Sequence[Self]) -> Self:
        """Return the median of each figure."""
        return cls(*(median(getattr(each, name) for each in found) for name in cls.__slots__))


class _Policies:
    """As many policies in the cluster's layer as in that of each namespace, which holds fewer texts."""

    def __init__(self, count: int) -> None:
        texts = [f"{PERMIT};", *(cedar(number) for number in range(count - 1))]
        self.cluster = cluster(*texts)
        self._own = namespace(*("".join(texts[each::_TEXTS]) for each in range(min(_TEXTS, count))))

    def of(self, _: str) -> Layer:
        return self._own

    def lost(self, _: str) -> tuple[str, ...]:
        return ()


def main(tasks: int, policies: int, rules: str, asked: int) -> Decisions:
    """Measure `asked` decisions about live tasks in a pod each, all of which are asked about beforehand.

    Each is counted, and the decision log has its share of them on the disk.
    """
    whole = patch.object(Layer, "about", lambda layer, _action, _principal: layer)
    with TemporaryDirectory() as folder, whole if rules == WHOLE else nullcontext():
        return asyncio.run(_measured(tasks, policies, asked, Path(folder)))


async def _measured(tasks: int, policies: int, asked: int, folder: Path) -> Decisions:
    labels: dict[str, str] = {}
    view = View(_Policies(policies), lambda _: labels)
    questions = [_known(view, number) for number in range(tasks)]
    view.beat("", Heartbeat(datetime.now(UTC), time.monotonic()))
    domain, metrics, log = gate_cases.TRUST_DOMAIN, GateMetrics(), _log(folder)

    def told(question: Question, answer: Answer, at: datetime) -> None:
        metrics.count(question, answer, at)
        log.told(question, answer, at)

    hour = timedelta(hours=1)
    deciding = Deciding(
        view,
        Limits(domain, dict.fromkeys(Sensitivity, hour), hour),
        Asking(view, trust_domain=domain, cluster_labels={"region": "eu"}),
        now=_now,
        uptime=time.monotonic,
        told=told,
        hindrance=log.hindrance,
    )
    writing = asyncio.create_task(log.run())
    async with asyncio.timeout(_OPENS_SECONDS):
        while log.problem:  # noqa: ASYNC110 - it tells nobody that it is open
            await asyncio.sleep(0)
    first = await _in_turn(deciding, questions)
    chosen = random.choices(questions, k=asked)  # noqa: S311 - which are asked about
    begin = time.process_time()
    took = await _in_turn(deciding, chosen)
    per_second = asked / (time.process_time() - begin)
    delays = await _at_a_pace(deciding, chosen, per_second * _SHARE)
    writing.cancel()
    await asyncio.wait([writing])
    await log.close(_CLOSE_SECONDS)
    if log.lost or log.waiting or log.problem:
        raise ValueError(f"{log.lost} lines of the decision log are lost, {log.waiting} wait: {log.problem}")
    return Decisions(
        per_second,
        1000 * percentile(took, 50),
        1000 * percentile(took, 99),
        1000 * percentile(first, 50),
        1000 * percentile(delays, 99),
    )


def _log(folder: Path) -> DecisionLog:
    """Return a decision log that keeps what is kept by default."""
    settings = GateSettings(trust_domain="prod.example.com", namespace="agentid", decision_log_folder=folder)
    chain = Chain("bench", "bench")
    return DecisionLog(settings.files(), chain, settings.keeping(), now=_now, randomness=random.random)


def _now() -> datetime:
    return datetime.now(UTC)


async def _in_turn(deciding: Deciding, questions: Sequence[Question]) -> list[float]:
    """Decide one after the other; the log is written in between, as between requests."""
    took = []
    for number, each in enumerate(questions):
        took.append(_timed(deciding, each))
        if number % _BETWEEN_TURNS == 0:
            await asyncio.sleep(0)
    return took


def _timed(deciding: Deciding, question: Question) -> float:
    begin = time.perf_counter()
    answer = deciding(question)
    if not answer.allowed:
        raise ValueError(f"it is denied: {answer.reason}: {answer.message}")
    return time.perf_counter() - begin


async def _at_a_pace(deciding: Deciding, questions: Sequence[Question], per_second: float) -> list[float]:
    """Ask at moments that do not know of each other; one that comes while another is decided waits for it."""
    pauses = (random.expovariate(per_second) for _ in questions)
    delays, began = [], time.perf_counter()
    for due, question in zip(itertools.accumulate(pauses, initial=began), questions, strict=False):
        while time.perf_counter() < due:  # noqa: ASYNC110 - nobody is told of it, and less than a timer takes
            await asyncio.sleep(0)
        _timed(deciding, question)
        delays.append(time.perf_counter() - due)
    return delays


def _known(view: View, number: int) -> Question:
    """Put a live task of its own and its pod into the view; return a question about it that is allowed."""
    where, name = f"team-{number % _NAMESPACES}", f"refund-{number}"
    uid, pod_uid = (f"{kind}c0e9a10-0000-4000-8000-{number:012d}" for kind in (5, 6))
    spiffe_id = f"spiffe://{gate_cases.TRUST_DOMAIN}/ns/{where}/agent/refund-agent/task/{uid}"
    pod = gate_cases.pod_body()
    pod["metadata"] |= {"namespace": where, "name": f"{name}-1", "uid": pod_uid}
    now = datetime.now(UTC)
    ends = {each: gate_cases.time(now + timedelta(hours=1)) for each in ("notAfter", "deadline")}
    times = {"notBefore": gate_cases.time(now), "notAfter": ends["notAfter"]}
    facts = pod_facts(pod, labelled=True)
    body: dict[str, Any] = gate_cases.body(
        name=name,
        uid=uid,
        namespace=where,
        spiffeID=spiffe_id,
        boundPod={"name": facts.name, "uid": pod_uid, "fingerprint": facts.fingerprint},
        credentials=[gate_cases.credential(**times)],
        deadline=ends["deadline"],
    )
    view.put_task(KnownTask.of(orjson.loads(orjson.dumps(body))))
    view.put_pod(facts)
    if view.agent(where, "refund-agent") is None:
        view.put_agent((where, "refund-agent"), agent_facts(gate_cases.agent_body()))
    asker = EnforcementPoint("spiffe://prod.example.com/ns/edge/sa/envoy")
    return Question(asker, spiffe_id, gate_cases.SERIAL, Call("orders:read", "order/4711"))


if __name__ == "__main__":
    found = main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    sys.stdout.buffer.write(orjson.dumps(found))
