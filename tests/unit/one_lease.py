"""A Lease as an API server serves it, candidates for it, and the clocks that they measure it with."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from agentid.cluster.connection import Body, Connection, Params
from agentid.cluster.errors import AlreadyExistsError, ConflictError, ConnectionLostError, NotFoundError
from agentid.cluster.lease import LeaseLock, LeaseTimes

START = datetime(2026, 5, 31, 14, tzinfo=UTC)
TIMES = LeaseTimes(duration_seconds=15, renew_deadline_seconds=10, retry_seconds=2)


class OneLease(Connection):
    """An API server that serves one Lease; `lose` answers the next write with silence after it is done."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.lose = False
        self.down = False

    async def get(self, path: str, params: Params | None = None, *, accept: str | None = None) -> Body:  # noqa: ARG002
        self._check()
        if self.lease is None:
            raise NotFoundError(path)
        return deepcopy(self.lease)

    async def post(
        self,
        path: str,
        body: Body,
        params: Params | None = None,  # noqa: ARG002
        *,
        within_seconds: float = 0.0,  # noqa: ARG002
    ) -> Body:
        self._check()
        if self.lease is not None:
            raise AlreadyExistsError(path)
        return self._store(body, uid="l-1", version=1)

    async def put(
        self,
        path: str,
        body: Body,
        params: Params | None = None,  # noqa: ARG002
        *,
        within_seconds: float = 0.0,  # noqa: ARG002
    ) -> Body:
        self._check()
        if self.lease is None:
            raise NotFoundError(path)
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError(path)
        return self._store(body, uid="l-1", version=int(body["metadata"]["resourceVersion"]) + 1)

    def _check(self) -> None:
        if self.down:
            raise ConnectionLostError("down")

    def _store(self, body: Body, uid: str, version: int) -> Body:
        self.lease = deepcopy(body)
        self.lease["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
        if self.lose:
            self.lose = False
            raise ConnectionLostError("lost")
        return deepcopy(self.lease)


class Time:
    """Wall clock and boot time, moved by hand and apart where a test says so."""

    def __init__(self) -> None:
        self.wall = START
        self.boot = 1000.0

    def pass_seconds(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.boot += seconds


def candidate(server: OneLease, time: Time, identity: str) -> LeaseLock:
    """Return a candidate's lock on the Lease of `server`."""
    return LeaseLock(
        server,
        name="l",
        namespace="ns",
        identity=identity,
        times=TIMES,
        clock=lambda: time.wall,
        boottime=lambda: time.boot,
    )


async def attempt(lock: LeaseLock) -> bool:
    """Do what the election does: read, then create or update."""
    found, _ = await lock.get(lock.name, lock.namespace)
    if not found:
        return await lock.create(lock.name, lock.namespace, None)
    return await lock.update(lock.name, lock.namespace, None)
