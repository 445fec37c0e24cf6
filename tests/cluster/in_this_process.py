"""An operator in a thread of this process, for what is no setting: its clock, and when a view is stale."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from agentid.cluster.connection import Connection
from agentid.cluster.watch_activity import STALE_SECONDS
from agentid.controller.parts import Parts, build
from agentid.controller.run import Operator
from agentid.controller.settings import Settings
from agentid.process.clocks import Clock, boottime
from devcluster.components import LOOPBACK
from devcluster.install import NAMESPACE, TRUST_DOMAIN
from devcluster.waiting import wait_until
from tests.cluster.intercepting import Interceptor

START_SECONDS = 60


class InThisProcess:
    """One operator on its way through an interceptor.

    Attributes:
        parts: What it is made of.
    """

    parts: Parts

    def __init__(
        self, interceptor: Interceptor, *, clock: Clock | None = None, stale_seconds: float = STALE_SECONDS
    ) -> None:
        self._clock = clock or Clock()
        self._stale_seconds = stale_seconds
        self._settings = Settings.model_validate(
            {
                "trust_domain": TRUST_DOMAIN,
                "namespace": NAMESPACE,
                "kubeconfig": interceptor.environment["AGENTID_KUBECONFIG"],
                "bind_address": LOOPBACK,
                "metrics_port": 0,
                "admission_proof_seconds": 1,
            }
        )
        self._built = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run within the block."""
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        assert self._built.wait(START_SECONDS), "the operator did not start"
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(START_SECONDS)
            assert not thread.is_alive(), "the operator did not end"

    def why_not_ready(self) -> str:
        """What /readyz says; empty if it is ready."""
        return "\n".join(self.parts.probes.unready())

    def wait_ready(self) -> None:
        """Wait until /readyz would say yes."""
        wait_until("the operator is ready", self.why_not_ready, lambda seen: not seen)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        async with Connection.open(self._settings.kubeconfig, boottime) as connection:
            self.parts = build(
                self._settings, connection, clock=self._clock, stale_seconds=self._stale_seconds
            )
            self._built.set()
            await Operator(self._settings, connection, self.parts).run(self._stop, lambda: None)
