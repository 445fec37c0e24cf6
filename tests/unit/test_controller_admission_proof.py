"""A proof that admission is in force counts for a while; how it is said to be too old does not change."""

import asyncio
from typing import cast

from agentid.api.admission import AdmissionSettings
from agentid.cluster.connection import Connection
from agentid.controller.admission_proof import AdmissionProof

_INTERVAL = 60.0
_LIMIT_SECONDS = 10


class Proven(AdmissionProof):
    """A proof that succeeds, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.tried = asyncio.Event()
        super().__init__(
            cast("Connection", None),
            AdmissionSettings("agentid-system", "agentid"),
            interval_seconds=_INTERVAL,
            clock=lambda: self.now,
        )

    async def find_problem(self) -> str | None:
        self.tried.set()
        return None

    def why(self) -> str:
        return self.blocked.message if self.blocked is not None else ""


async def test_a_proof_that_is_too_old_is_none_and_what_is_said_does_not_change_with_time() -> None:
    proof = Proven()
    assert proof.why().startswith("nothing is issued: whether admission is in force is not known yet")
    running = asyncio.create_task(proof.run())
    async with asyncio.timeout(_LIMIT_SECONDS):
        await proof.tried.wait()
    assert proof.why() == ""

    proof.now += 2 * _INTERVAL
    assert proof.why() == ""
    proof.now += 3
    said = proof.why()
    assert said.startswith("nothing is issued: that admission is in force was not proven for more than 122 s")
    proof.now += 30
    assert proof.why() == said
    running.cancel()
