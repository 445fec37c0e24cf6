"""Shows decision points that the operator lives, where no operator is at work beside what is measured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import orjson

from agentid.api.names import HEARTBEAT
from agentid.cluster.heartbeats import heartbeat
from agentid.cluster.paths import TASKS
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from tests.bench.api import MERGE, Api

_BEAT_SECONDS: Final = 1.0
_USERNAME: Final = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"


@asynccontextmanager
async def beating(operator: Api, admin: Api) -> AsyncIterator[None]:
    """Write the heartbeat as the operator does, under its account, for as long as the context lasts."""
    await operator.post(TASKS.path(NAMESPACE), heartbeat(NAMESPACE, _USERNAME))
    heart = asyncio.create_task(_beat(operator))
    try:
        yield
    finally:
        heart.cancel()
        await asyncio.gather(heart, return_exceptions=True)
        await admin.send("DELETE", TASKS.path(NAMESPACE, HEARTBEAT))


async def _beat(operator: Api) -> None:
    while True:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        status = orjson.dumps({"status": {"heartbeatTime": at}})
        await operator.send("PATCH", TASKS.path(NAMESPACE, HEARTBEAT, "status"), status, MERGE)
        await asyncio.sleep(_BEAT_SECONDS)
