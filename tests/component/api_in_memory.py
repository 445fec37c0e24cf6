"""An API server in memory, and ways to it on which each write waits until a test says what becomes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from agentid.api.names import TASK_UID_LABEL
from agentid.cluster.connection import REQUEST_SECONDS, Body, Connection, Params
from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    ConnectionLostError,
    NotFoundError,
)

OPERATORS_NAMESPACE = "agentid-system"
_OURS = "operator-secrets.agentid.dev"

Told = Callable[[str, Body | None, Body | None], None]
"""Is told the path of what was written, how it was before and how it is now; None: not there."""


@dataclass(eq=False)
class Sent:
    """A write on its way.

    Attributes:
        sender: Whose it is.
        answer: What the sender waits for; done where it has given up.
    """

    sender: Way
    method: str
    path: str
    body: Body
    params: Params
    answer: asyncio.Future[Body] = field(repr=False)

    @property
    def is_of_the_ledger(self) -> bool:
        """Whether it is a batch that is to be written."""
        return "/ledgerbatches" in self.path


class ApiServer:
    """Objects by their paths; compare-and-swap and create-if-absent, as an API server does them.

    Attributes:
        on_the_way: The writes that were sent and not carried out yet, those whose sender gave up included.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.on_the_way: list[Sent] = []
        self.told: list[Told] = []
        self._number = 100

    def next_number(self) -> int:
        """A number that was not given before: a resourceVersion, or part of a UID."""
        self._number += 1
        return self._number

    def put(self, path: str, body: Body | None) -> Body:
        """Have the object of that path be `body` from now on, or be gone."""
        before = self.objects.pop(path, None)
        if body is not None:
            new = deepcopy(body)
            new["metadata"]["resourceVersion"] = str(self.next_number())
            new["metadata"].setdefault("uid", f"uid-{self._number}")
            self.objects[path] = new
        now = self.objects.get(path)
        for each in self.told:
            each(path, before, now)
        return deepcopy(now or before or {})

    def read(self, path: str) -> Body:
        """GET an object, or all that are below a path."""
        if path in self.objects:
            return deepcopy(self.objects[path])
        if path.endswith("s") and path.rsplit("/", 1)[-1] in {"ledgerbatches", "agenttasks"}:
            below = sorted(each for each in self.objects if each.startswith(f"{path}/"))
            return {"items": [deepcopy(self.objects[each]) for each in below], "metadata": {}}
        raise NotFoundError(path)

    def carry_out(self, sent: Sent) -> Body:
        """Do what was asked.

        Raises:
            ApiAnswerError: it may not be done.
        """
        is_tried = "dryRun" in sent.params
        if sent.method == "POST":
            path = f"{sent.path}/{sent.body['metadata']['name']}"
            if path in self.objects:
                raise AlreadyExistsError(path)
            return deepcopy(sent.body) if is_tried else self.put(path, sent.body)
        path = sent.path.removesuffix("/status")
        there = self.objects.get(path)
        if there is None:
            raise NotFoundError(path)
        _compare(path, there["metadata"], sent)
        if sent.method == "PUT" and "/secrets" in path and OPERATORS_NAMESPACE not in path:
            _admit(there, sent.body)
        return deepcopy(there) if is_tried else self.put(path, _changed(there, sent))

    def deliver(self, sent: Sent, *, answered: bool = True) -> None:
        """Carry out a write that is on its way, and tell its sender, unless the answer is lost."""
        self.on_the_way.remove(sent)
        try:
            done = self.carry_out(sent)
        except ApiAnswerError as error:
            self._tell(sent, error if answered else None, None)
        else:
            self._tell(sent, None, done if answered else None)

    def refuse(self, sent: Sent, error: ApiAnswerError) -> None:
        """Answer that without carrying it out."""
        self.on_the_way.remove(sent)
        self._tell(sent, error, None)

    @staticmethod
    def _tell(sent: Sent, error: ApiAnswerError | None, body: Body | None) -> None:
        if sent.answer.done():
            return
        if body is not None:
            sent.answer.set_result(body)
        else:
            sent.answer.set_exception(error or ConnectionLostError(f"{sent.method} {sent.path}"))


class Way(Connection):
    """One operator's way to the API server; `cut`: nothing comes back on it any more."""

    def __init__(self, server: ApiServer) -> None:
        self.at = server
        self.cut = False

    async def get(self, path: str, params: Params | None = None, *, accept: str | None = None) -> Body:
        del params, accept
        await asyncio.sleep(0)
        if self.cut:
            raise ConnectionLostError(path)
        return self.at.read(path)

    async def post(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
        accept: str | None = None,
    ) -> Body:
        del accept
        return await self._write("POST", path, body, params, within_seconds)

    async def put(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
    ) -> Body:
        return await self._write("PUT", path, body, params, within_seconds)

    async def merge(
        self,
        path: str,
        body: Body,
        params: Params | None = None,
        *,
        within_seconds: float = REQUEST_SECONDS,
    ) -> Body:
        return await self._write("PATCH", path, body, params, within_seconds)

    async def delete(self, path: str, body: Body, *, within_seconds: float = REQUEST_SECONDS) -> None:
        await self._write("DELETE", path, body, None, within_seconds)

    async def _write(
        self, method: str, path: str, body: Body, params: Params | None, within_seconds: float
    ) -> Body:
        answer: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        as_sent = json.loads(json.dumps(body))
        sent = Sent(self, method, path, as_sent, params or {}, answer)
        self.at.on_the_way.append(sent)
        try:
            async with asyncio.timeout(min(within_seconds, REQUEST_SECONDS)):
                return await answer
        except TimeoutError as error:
            raise ConnectionLostError(f"{method} {path}: no answer") from error


def _compare(path: str, there: Body, sent: Sent) -> None:
    """Compare what a write is conditioned on with the metadata that is there.

    Raises:
        ConflictError: it is another object, or another version.
    """
    wanted = sent.body.get("preconditions" if sent.method == "DELETE" else "metadata") or {}
    if any(wanted.get(each, there[each]) != there[each] for each in ("uid", "resourceVersion")):
        raise ConflictError(path)


def _changed(there: Body, sent: Sent) -> Body | None:
    """What a write makes of an object; None: it is deleted."""
    if sent.method == "DELETE":
        return None
    if sent.method == "PATCH":
        return {**there, "status": _merged(there.get("status") or {}, sent.body["status"])}
    return {**sent.body, "metadata": {**sent.body["metadata"], "uid": there["metadata"]["uid"]}}


def _admit(there: Body, new: Body) -> None:
    """Admission: what holds something stays with its task.

    Raises:
        AdmissionRefusedError: it is another task's.
    """
    if any((new.get("data") or {}).values()) and _task_of(there) != _task_of(new):
        raise AdmissionRefusedError("another task's", _OURS)


def _task_of(secret: Body) -> str:
    return str(secret["metadata"].get("labels", {}).get(TASK_UID_LABEL, ""))


def _merged(old: Any, new: Any) -> Any:  # noqa: ANN401 - JSON
    """RFC 7386."""
    if not isinstance(new, dict):
        return deepcopy(new)
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found
