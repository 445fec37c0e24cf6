"""The two that are measured, each a process under the operator's own service account: agentid and LIMIT."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from devcluster.controlplane import ControlPlane
from devcluster.operator_answers import sampled
from devcluster.operator_process import OperatorProcess
from devcluster.places import CHECKOUT
from devcluster.process import Process
from devcluster.waiting import wait_until
from tests.bench import limit

_PATIENT = {
    # It is stopped with SIGSTOP while its work is laid out, and must not lose its lease by that.
    "AGENTID_LEASE_DURATION_SECONDS": "300",
    "AGENTID_LEASE_RENEW_DEADLINE_SECONDS": "250",
}
_SAMPLER = Path(__file__).parent / "sampler"
_WITHOUT_LEDGER = Path(__file__).parent / "without_ledger"
_READY = timedelta(minutes=5)
_LOOKS_AT_ALL = timedelta(minutes=10)
_BETWEEN_LOOKS = timedelta(seconds=1)
_TICKS = os.sysconf("SC_CLK_TCK")


class Contender(Protocol):
    """One of the two."""

    name: str

    def start(self, *, wait: bool = True) -> None:
        """Start its process; wait until it serves."""

    def stop(self) -> None:
        """End its process in order."""

    @property
    def pid(self) -> int:
        """Its process."""


class Agentid:
    """The operator, from the chart's service account and with the settings of the chart."""

    name = "agentid"

    def __init__(
        self,
        cluster: ControlPlane,
        profile: Path | None = None,
        *,
        beats: bool = False,
        records: bool = True,
    ) -> None:
        """Make it.

        Args:
            cluster: Where it works.
            profile: A folder into which it writes what it spends its time on.
            beats: Whether it shows decision points that it lives.
            records: Whether it records anything of tasks.

        Raises:
            ValueError: it is to be sampled and to record nothing, which are two places to find code in.
        """
        if profile and not records:
            raise ValueError("only an operator that records can be sampled")
        sampled = {"PYTHONPATH": str(_SAMPLER), "BENCH_PROFILE": str(profile)} if profile else {}
        beating = {"AGENTID_HEARTBEAT": "true"} if beats else {}
        silent = {} if records else {"PYTHONPATH": str(_WITHOUT_LEDGER), "BENCH_WITHOUT_LEDGER": "true"}
        self.records = records
        self._operator = OperatorProcess(cluster, "agentid", _PATIENT | sampled | beating | silent)

    def start(self, *, wait: bool = True) -> None:
        """Start it; among thousands of tasks it takes its time."""
        self._operator.start(wait=False)
        if wait:
            self._operator.wait_ready(_READY)

    def stop(self) -> None:
        """End it with SIGTERM; it gives its lease back."""
        self._operator.terminate(timedelta(seconds=60))

    def has_looked_at_all(self) -> bool:
        """Whether each task has been looked at since the start, and none waits to be looked at."""
        # Whoever is ready leads, and has all tasks in its queue from the moment on when it does.
        if not self._operator.ready():
            return False
        said = self._operator.metrics()
        return bool(said) and all(
            sampled(said, f"agentid_workqueue_{which}", {}) == 0 for which in ("depth", "active")
        )

    def issues_recorded(self) -> int:
        """How many credentials the ledger has of it since its start."""
        return int(self._operator.metric("agentid_ledger_records_total", kind="issued"))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._operator.process.pid

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of its service account."""
        return self._operator.kubeconfig


class Limit:
    """The bare client."""

    name = "LIMIT"

    def __init__(self, cluster: ControlPlane, kubeconfig: Path, forms: Path) -> None:
        arguments = [sys.executable, "-m", limit.__name__, str(kubeconfig), str(forms)]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self._process: Process = cluster.run.process("limit", arguments, environment)

    def start(self, *, wait: bool = True) -> None:
        """Start it."""
        log = self._process.log
        log.unlink(missing_ok=True)
        self._process.start()
        if wait:
            self._process.wait_ready(lambda: limit.READY in log.read_text())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid


@asynccontextmanager
async def running(contender: Contender, *, wait: bool = True) -> AsyncIterator[None]:
    """Start a contender and end it; the watches of the harness are read meanwhile."""
    await asyncio.to_thread(contender.start, wait=wait)
    try:
        yield
    finally:
        await asyncio.to_thread(contender.stop)


async def at_rest(agentid: Agentid) -> None:
    """Wait until agentid has looked at all there is, which takes a while among thousands of tasks."""
    what, look = "agentid has looked at every task", agentid.has_looked_at_all
    await asyncio.to_thread(wait_until, what, look, within=_LOOKS_AT_ALL, every=_BETWEEN_LOOKS)


@contextmanager
def frozen(contender: Contender) -> Iterator[list[float]]:
    """Stop a contender while work is laid out for it; when it goes on is put into the list."""
    begins: list[float] = []
    os.kill(contender.pid, signal.SIGSTOP)
    try:
        yield begins
    finally:
        begins.append(time.monotonic())
        os.kill(contender.pid, signal.SIGCONT)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_mebibytes(pid: int) -> float:
    """The memory that a process has in use (RSS)."""
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) / 1024
