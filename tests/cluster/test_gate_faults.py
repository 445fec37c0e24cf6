"""Whatever goes wrong around a decision point, it denies, and it allows again once that is over."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from agentid.process.clocks import Clock
from devcluster.controlplane import ControlPlane
from devcluster.gate_process import GateProcess
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster.deciding import Answer, answered, end, question, running, settings_for
from tests.cluster.gate_in_this_process import GateInThisProcess
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.policies import PERMIT_ALL, accepted, agent_policy, refused
from tests.cluster.test_robust_clock import WallClock

LIMIT_SECONDS = 5.0
"""How old a view may be."""
SLACK_SECONDS = 2.0
"""What an answer may take on a machine that is busy with other work."""
AGAIN = timedelta(seconds=60)
NO_USE = f'{PERMIT_ALL}\nforbid(principal, action == Action::"use", resource);'


@pytest.fixture
def interceptor(cluster: ControlPlane, gate_kubeconfig: Path) -> Iterator[Interceptor]:
    """A decision point's way to the API server."""
    proxy = Interceptor(cluster, gate_kubeconfig)
    with proxy.running():
        yield proxy


@pytest.fixture
def gate(cluster: ControlPlane, interceptor: Interceptor, asking_team: Kubectl) -> Iterator[GateProcess]:
    """A decision point that goes that way."""
    made = GateProcess(cluster, through(interceptor), settings_for(asking_team.namespace))
    made.start()
    yield made
    made.terminate()


def through(interceptor: Interceptor) -> Path:
    return Path(interceptor.environment["AGENTID_KUBECONFIG"])


class Load:
    """Asks about two tasks again and again, and keeps what was answered and when."""

    def __init__(self, gate: GateProcess, token: str, *tasks: Object) -> None:
        self._gate = gate
        self._token = token
        self._asked = [question(each) for each in tasks]
        self.allowed_at: list[list[float]] = [[] for _ in tasks]
        self.reasons: set[str] = set()
        self.asked = 0

    def allowed_since(self, at: float) -> bool:
        """Has the first task been allowed since then?"""
        return max(self.allowed_at[0], default=0.0) > at

    @contextmanager
    def going(self) -> Iterator[None]:
        """Ask within the block, by four at once."""
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                for allowed, asked in zip(self.allowed_at, self._asked, strict=True):
                    began = time.monotonic()
                    self.asked += 1
                    try:
                        _, answer = self._gate.ask(self._token, asked)
                    except OSError:
                        # Whoever gets no answer lets nothing pass.
                        over.wait(0.01)
                        continue
                    if answer.get("decision"):
                        allowed.append(began)
                    else:
                        self.reasons.add(answer.get("context", {}).get("reason", "none"))

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in threads:
                each.join(30)


def test_without_the_api_server_it_denies_and_goes_on_when_it_is_back(
    cluster: ControlPlane, gate_kubeconfig: Path, asking_team: Kubectl, asker_token: str
) -> None:
    asked = question(running(asking_team))
    proxy = Interceptor(cluster, gate_kubeconfig)
    gate = GateProcess(cluster, through(proxy), settings_for(asking_team.namespace))
    with proxy.running():
        gate.start()
        answered(lambda: gate.ask(asker_token, asked), "Allowed")

    gone = time.monotonic()
    answered(lambda: gate.ask(asker_token, asked), "StaleView")
    assert time.monotonic() - gone < LIMIT_SECONDS + SLACK_SECONDS + 1

    with proxy.running():
        answered(lambda: gate.ask(asker_token, asked), "Allowed", within=AGAIN)
        end(asking_team)
        answered(lambda: gate.ask(asker_token, asked), "TaskEnded", "UnknownCredential")
    gate.terminate()


def test_a_watch_that_is_silent_with_its_connection_open_lets_it_deny(
    gate: GateProcess, interceptor: Interceptor, asking_team: Kubectl, asker_token: str
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")

    interceptor.silent.set()
    end(asking_team)
    ended = time.monotonic()
    last = ended
    while time.monotonic() < ended + LIMIT_SECONDS + SLACK_SECONDS + 3:
        if gate.ask(asker_token, asked)[1]["decision"]:
            last = time.monotonic()

    assert last - ended < LIMIT_SECONDS + SLACK_SECONDS
    answered(lambda: gate.ask(asker_token, asked), "StaleView")


def test_old_news_that_come_steadily_let_it_deny(
    gate: GateProcess, interceptor: Interceptor, asking_team: Kubectl, asker_token: str
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")

    interceptor.lag_seconds = LIMIT_SECONDS + 3
    answered(lambda: gate.ask(asker_token, asked), "StaleView")
    end_of_watching = time.monotonic() + 2 * interceptor.lag_seconds + 4
    while time.monotonic() < end_of_watching:
        # Heartbeats come, each of them too late.
        assert not gate.ask(asker_token, asked)[1]["decision"]

    interceptor.lag_seconds = 0.0
    answered(lambda: gate.ask(asker_token, asked), "Allowed", within=AGAIN)


@pytest.mark.parametrize(
    ("step", "reason"), [(-3600.0, "ClockInDoubt"), (3600.0, "StaleView")], ids=["back", "forward"]
)
def test_a_clock_that_is_set_lets_it_deny_until_it_is_right_again(  # noqa: PLR0917 - fixtures
    monkeypatch: pytest.MonkeyPatch,
    gate_kubeconfig: Path,
    asking_team: Kubectl,
    asker_token: str,
    step: float,
    reason: str,
) -> None:
    wall = WallClock()
    asked = question(running(asking_team))
    gate = GateInThisProcess(monkeypatch, gate_kubeconfig, settings_for(asking_team.namespace), Clock(wall))
    with gate.running():
        answered(lambda: gate.ask(asker_token, asked), "Allowed")

        wall.wrong_by = step
        assert gate.ask(asker_token, asked)[1]["context"]["reason"] == reason

        wall.wrong_by = 0.0
        answered(lambda: gate.ask(asker_token, asked), "Allowed")


def test_a_policy_that_is_broken_goes_on_forbidding_what_it_forbade(
    gate: GateProcess, asking_team: Kubectl, asker_token: str
) -> None:
    asked = question(running(asking_team))
    accepted(asking_team, agent_policy(NO_USE, "own"))
    answered(lambda: gate.ask(asker_token, asked), "PolicyDenied")

    refused(asking_team, agent_policy("permit (principal, action, resource", "own"))

    answered(lambda: gate.ask(asker_token, asked), "PolicyDenied")
    gate.terminate()
    gate.start()
    answered(lambda: gate.ask(asker_token, asked), "PolicyDenied")
    asking_team.delete("agentpolicy", "own")
    answered(lambda: gate.ask(asker_token, asked), "Allowed")


def test_until_everything_has_been_listed_it_denies(
    cluster: ControlPlane, interceptor: Interceptor, asking_team: Kubectl, asker_token: str
) -> None:
    asked = question(running(asking_team))
    asking_team.apply(agent_policy(NO_USE, "own"))
    # What forbids comes last.
    held = Trap("GET", r".*/agentpolicies", answered=False, let_go=threading.Event(), query="(?!.*watch).*")
    interceptor.set(held)
    gate = GateProcess(cluster, through(interceptor), settings_for(asking_team.namespace))
    gate.start(wait=False)
    try:
        held.wait()
        assert held.let_go is not None
        asks: list[Answer] = []

        def ask() -> Answer | None:
            try:
                asks.append(gate.ask(asker_token, asked))
            except OSError:
                return None
            return asks[-1]

        wait_until("it answers", ask)
        until = time.monotonic() + 8
        while time.monotonic() < until:
            ask()
        assert {answer["context"]["reason"] for _, answer in asks} == {"StaleView"}
        assert not gate.ready()

        held.let_go.set()

        answered(lambda: gate.ask(asker_token, asked), "PolicyDenied")
    finally:
        if held.let_go is not None:
            held.let_go.set()
        gate.terminate()


@pytest.mark.parametrize("kill", [False, True], ids=["in order", "killed"])
def test_a_restart_under_load_allows_nothing_that_has_ended(
    cluster: ControlPlane,
    gate_kubeconfig: Path,
    asking_team: Kubectl,
    asker_token: str,
    kill: bool,  # noqa: FBT001 - parametrized
) -> None:
    live, over = running(asking_team), running(asking_team, "refund-4712")
    gate = GateProcess(cluster, gate_kubeconfig, settings_for(asking_team.namespace))
    gate.start()
    load = Load(gate, asker_token, live, over)
    with load.going():
        wait_until("both are allowed", lambda: all(load.allowed_at))
        end(asking_team, "refund-4712")
        answered(lambda: gate.ask(asker_token, question(over)), "TaskEnded", "UnknownCredential")
        ended = time.monotonic()
        for _ in range(3):
            if kill:
                gate.process.kill()
            gate.terminate()
            restarted = time.monotonic()
            gate.start()
            wait_until("the live task is allowed again", partial(load.allowed_since, restarted))
    gate.terminate()

    assert load.asked > 100
    assert max(load.allowed_at[1]) < ended
    assert load.reasons <= {"TaskEnded", "UnknownCredential", "StaleView", "none", "UnknownTask"}


def test_a_replica_that_lags_behind_refuses_what_has_ended_within_its_limit(  # noqa: PLR0917 - fixtures
    cluster: ControlPlane,
    gate: GateProcess,
    gate_kubeconfig: Path,
    interceptor: Interceptor,
    asking_team: Kubectl,
    asker_token: str,
) -> None:
    prompt = GateProcess(cluster, gate_kubeconfig, settings_for(asking_team.namespace), "prompt-gate")
    prompt.start()
    over = running(asking_team)
    for each in (gate, prompt):
        answered(partial(each.ask, asker_token, question(over)), "Allowed")
    lagging, up_to_date = Load(gate, asker_token, over), Load(prompt, asker_token, over)
    with lagging.going(), up_to_date.going():
        interceptor.lag_seconds = 30.0
        end(asking_team)
        ended = time.monotonic()
        answered(lambda: prompt.ask(asker_token, question(over)), "TaskEnded", "UnknownCredential")
        answered(lambda: gate.ask(asker_token, question(over)), "StaleView")
        time_is_up = time.monotonic() + 5
        wait_until("the lagging one was asked for a while", lambda: time.monotonic() > time_is_up)
    prompt.terminate()

    assert max(lagging.allowed_at[0]) - ended < LIMIT_SECONDS + SLACK_SECONDS
    assert max(up_to_date.allowed_at[0]) - ended < SLACK_SECONDS


def test_a_new_leader_lets_it_go_on(
    gate: GateProcess, beating: OperatorProcess, asking_team: Kubectl, asker_token: str
) -> None:
    asked = question(running(asking_team))
    answered(lambda: gate.ask(asker_token, asked), "Allowed")

    beating.kill()
    answered(lambda: gate.ask(asker_token, asked), "StaleView")
    beating.start({"AGENTID_HEARTBEAT": "true"})

    answered(lambda: gate.ask(asker_token, asked), "Allowed", within=AGAIN)
