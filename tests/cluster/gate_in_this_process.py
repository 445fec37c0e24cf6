"""A decision point in a thread of this process, for what is no setting: its clock."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentid.cluster.connection import Connection
from agentid.gate.mapping import Mapper, Mapping
from agentid.gate.run import Gate
from agentid.gate.settings import read_gate_settings
from agentid.process.clocks import Clock, boottime
from devcluster.components import LOOPBACK
from devcluster.gate_process import AUDIENCE, DecisionPoint
from devcluster.install import NAMESPACE, TRUST_DOMAIN
from devcluster.waiting import wait_until

START_SECONDS = 60


class GateInThisProcess(DecisionPoint):
    """One decision point, which is asked as any other is."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, kubeconfig: Path, settings: dict[str, str], clock: Clock
    ) -> None:
        super().__init__()
        given = {
            "AGENTID_GATE_TRUST_DOMAIN": TRUST_DOMAIN,
            "AGENTID_GATE_NAMESPACE": NAMESPACE,
            "AGENTID_GATE_KUBECONFIG": str(kubeconfig),
            "AGENTID_GATE_INSECURE": "true",
            "AGENTID_GATE_BIND_ADDRESS": LOOPBACK,
            "AGENTID_GATE_HTTP_PORT": str(self.http_port),
            "AGENTID_GATE_GRPC_PORT": str(self.grpc_port),
            "AGENTID_GATE_METRICS_PORT": str(self.metrics_port),
            "AGENTID_GATE_TOKEN_AUDIENCE": AUDIENCE,
            **settings,
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        self._settings = read_gate_settings(given)
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run within the block."""
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            wait_until("the decision point is ready", self.ready)
            yield
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(START_SECONDS)
            assert not thread.is_alive(), "the decision point did not end"

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        async with Connection.open(self._settings.kubeconfig, boottime) as connection:
            await Gate(self._settings, connection, Mapper(Mapping()), self._clock).run(self._stop)
