"""Five thousand deadlines in one second: each task ends as ever, and every Secret goes."""

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.lives import OPERATOR, writes_to_secrets
from tests.cluster.objects import task
from tests.fault_table import record

TASKS = 5000
AT_ONCE = 16
UNTIL_DEADLINE = timedelta(seconds=150)
SLOWLY = timedelta(seconds=600)
BOUND = timedelta(seconds=300)

Request = tuple[str, str, object, str]
"""Method, path, body and its content type."""


async def _send(cluster: ControlPlane, requests: Iterable[Request], user: str) -> None:
    """Make many requests as administrator, some at once; as `user`, where one is named."""
    here = cluster.components
    trust = ssl.create_default_context(cafile=str(here.authority.files.certificate))
    trust.load_cert_chain(here.admin.certificate, here.admin.key)
    waiting = iter(requests)
    headers = {"Impersonate-User": user} if user else {}
    connector = aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE)
    async with aiohttp.ClientSession(here.server, connector=connector, headers=headers) as session:

        async def work() -> None:
            for method, path, body, kind in waiting:
                sent = {"data": json.dumps(body), "headers": {"Content-Type": kind}}
                async with session.request(method, path, **sent) as answer:  # type: ignore[arg-type]
                    assert answer.status < 300, await answer.text()

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work())


def send(cluster: ControlPlane, requests: Iterable[Request], user: str = "") -> None:
    asyncio.run(_send(cluster, requests, user))


def secrets_left(here: Kubectl) -> Callable[[], int]:
    """How many Secrets there are in the namespace, asked for without listing them."""

    def count() -> int:
        found = json.loads(here("get", "--raw", f"/api/v1/namespaces/{here.namespace}/secrets?limit=1"))
        return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))

    return count


@pytest.mark.timeout(1500)
def test_five_thousand_deadlines_in_one_second_end_five_thousand_tasks(
    cluster: ControlPlane, team: Kubectl, operator: OperatorProcess
) -> None:
    path = f"/apis/agentid.dev/v1alpha1/namespaces/{team.namespace}/agenttasks"
    names = [f"task-{number:04}" for number in range(TASKS)]
    long = {"credential": {"ttlSeconds": 3600}}
    send(cluster, (("POST", path, task(name, **long), "application/json") for name in names))
    left = secrets_left(team)
    wait_until("each has its Secret", left, lambda seen: seen == TASKS, within=SLOWLY)

    # Issued over minutes, their deadlines are spread alike: they are put into one second.
    operator.terminate()
    deadline = (datetime.now(UTC) + UNTIL_DEADLINE).replace(microsecond=0)
    patch = {"status": {"deadline": f"{deadline:%Y-%m-%dT%H:%M:%SZ}"}}
    merge = "application/merge-patch+json"
    send(cluster, (("PATCH", f"{path}/{name}/status", patch, merge) for name in names), OPERATOR)
    operator.start()
    assert datetime.now(UTC) < deadline, "it took too long to set them"
    assert left() == TASKS
    wait_until("the deadline", lambda: datetime.now(UTC), lambda now: now >= deadline, within=UNTIL_DEADLINE)
    began = time.monotonic()

    wait_until("every Secret is gone", left, lambda seen: not seen, within=BOUND)
    took = time.monotonic() - began
    wait_until("all is quiet", lambda: operator.metric("agentid_workqueue_depth"), lambda depth: not depth)
    seen = Counter(
        (story.standing(each), len(story.serials(each)))
        for each in team.list("agenttasks", "--chunk-size=500")
    )
    assert seen == {("Expired", 0): TASKS}
    written = Counter(
        verb for verb, name in writes_to_secrets(cluster, team) if name.startswith("agentid-task-")
    )
    assert (written["create"], written["delete"]) == (TASKS, TASKS)
    record(
        "5,000 deadlines in one second",
        "the deadline",
        bound=f"{BOUND.total_seconds():g} s; the status and no certificate outlives its TTL",
        seen=f"{took:.0f} s, {TASKS / took:.0f} a second",
    )
