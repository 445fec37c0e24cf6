"""LIMIT: the least that anybody has to do. Lists and watches tasks, writes what agentid writes, nothing else.

It decides nothing and checks nothing; its certificates were made beforehand.
Run as a program: `python -m tests.bench.limit KUBECONFIG FORMS`.
"""

import asyncio
import itertools
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from tests.bench import forms
from tests.bench.api import MERGE, Api
from tests.bench.forms import Forms

TASKS: Final = "/apis/agentid.dev/v1alpha1/agenttasks"
READY: Final = "ready"
_WORKERS: Final = 32


class Limit:
    """The bare client."""

    def __init__(self, api: Api, written: Forms) -> None:
        self._api = api
        self._issued_status, self._ended_status = (
            written.issued_status.encode(),
            written.ended_status.encode(),
        )
        self._issued_event, self._ended_event = written.issued_event.encode(), written.ended_event.encode()
        self._secret, self._deletion = written.secret.encode(), written.deletion.encode()
        self._credentials = itertools.cycle([each.encode() for each in written.credentials])
        self._count = itertools.count()
        self._secrets: dict[str, bytes] = {}
        self._begun: set[tuple[str, bool]] = set()
        self._work: asyncio.Queue[tuple[bool, dict[str, Any]]] = asyncio.Queue()

    async def run(self) -> None:
        """List, watch and write until the process is ended."""
        workers = [asyncio.create_task(self._keep_working()) for _ in range(_WORKERS)]
        version = ""
        async for page, version in self._api.pages(TASKS):  # noqa: B007 - that of the last page
            for task in page:
                self._take(task)
        sys.stdout.write(f"{READY}\n")
        sys.stdout.flush()
        async for event in self._api.events(TASKS, version):
            if event["type"] != "DELETED":
                self._take(event["object"])
        await asyncio.gather(*workers)

    def _take(self, task: dict[str, Any]) -> None:
        status = task.get("status", {})
        ends = task["spec"].get("state") == "Ended"
        if "endTime" in status or ("credentials" in status) is not ends:
            return
        key = (task["metadata"]["uid"], ends)
        if key not in self._begun:
            self._begun.add(key)
            self._work.put_nowait((ends, task["metadata"]))

    async def _keep_working(self) -> None:
        while True:
            ends, metadata = await self._work.get()
            await (self._end(metadata) if ends else self._issue(metadata))

    async def _issue(self, task: dict[str, Any]) -> None:
        root = task["namespace"]
        uid, name = task["uid"].encode(), task["name"].encode()
        await self._status(task, self._issued_status)
        secret = self._filled(self._secret, uid, name).replace(forms.DATA, next(self._credentials))
        path = f"/api/v1/namespaces/{root}/secrets?fieldManager=agentid"
        reply = orjson.loads(await self._api.send("POST", path, secret))
        self._secrets[task["uid"]] = reply["metadata"]["uid"].encode()
        await self._event(task, self._issued_event)

    async def _end(self, task: dict[str, Any]) -> None:
        await self._status(task, self._ended_status)
        deletion = self._deletion.replace(forms.SECRET_UID, self._secrets.pop(task["uid"]))
        path = f"/api/v1/namespaces/{task['namespace']}/secrets/agentid-{task['name']}"
        await self._api.send("DELETE", path, deletion)
        await self._event(task, self._ended_event)

    async def _status(self, task: dict[str, Any], form: bytes) -> None:
        body = self._filled(form, task["uid"].encode(), task["name"].encode())
        body = body.replace(forms.VERSION, task["resourceVersion"].encode())
        path = f"/apis/agentid.dev/v1alpha1/namespaces/{task['namespace']}/agenttasks/{task['name']}/status"
        await self._api.send("PATCH", path, body, MERGE)

    async def _event(self, task: dict[str, Any], form: bytes) -> None:
        body = self._filled(form, task["uid"].encode(), task["name"].encode())
        body = body.replace(forms.MOMENT, forms.moment(datetime.now(UTC), next(self._count)))
        path = f"/apis/events.k8s.io/v1/namespaces/{task['namespace']}/events"
        await self._api.send("POST", path, body)

    @staticmethod
    def _filled(form: bytes, uid: bytes, name: bytes) -> bytes:
        return form.replace(forms.UID, uid).replace(forms.NAME, name)


async def main(kubeconfig: str, written: str) -> None:
    """Run until SIGTERM."""
    async with Api.open(Path(kubeconfig)) as api:
        await Limit(api, Forms.load(Path(written))).run()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    uvloop.run(main(*sys.argv[1:]))
