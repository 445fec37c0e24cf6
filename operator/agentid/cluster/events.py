"""Sends Events (events.k8s.io/v1) from a bounded queue; under overload it drops, and says so."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

import structlog

from agentid.api.names import API_VERSION, REPORTING_CONTROLLER
from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import (
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    NamespaceTerminatingError,
    NotFoundError,
    PassingError,
    TooManyRequestsError,
)
from agentid.cluster.paths import EVENTS, TASKS

_log = structlog.get_logger("agentid.events")

_MAX_NOTE_BYTES: Final = 1024
_ATTEMPTS: Final = 3
_LONGEST_PAUSE_SECONDS: Final = 10.0
_MAX_NAME_LENGTH: Final = 253


class Outcome(Enum):
    """What became of an Event."""

    SENT = "sent"
    DROPPED = "dropped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reference:
    """The object an Event is about, or is related to."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str | None = None
    resource_version: str | None = None

    def body(self) -> Body:
        """Return it as an ObjectReference."""
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "resourceVersion": self.resource_version,
        }
        return {key: value for key, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class Event:
    """One Event about an AgentTask, or a policy."""

    time: datetime
    regarding: Reference
    related: Reference | None
    reason: str
    action: str
    warning: bool
    note: str

    @property
    def namespace(self) -> str:
        """Where it is: beside its object, or where Kubernetes has those about objects in no namespace."""
        return self.regarding.namespace or "default"

    def body(self, instance: str) -> Body:
        """Return it as the API server takes it; two calls make two names.

        kubectl lists Events without the timestamps of old by name, so names are in the order of time.
        """
        moment = f"{round(self.time.timestamp() * 1_000_000):016x}{secrets.token_hex(2)}"
        name = f"{self.regarding.name[: _MAX_NAME_LENGTH - len(moment) - 1]}.{moment}"
        body: Body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "eventTime": self.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": REPORTING_CONTROLLER,
            "reportingInstance": instance,
            "action": self.action,
            "reason": self.reason,
            "regarding": self.regarding.body(),
            "note": _cut(self.note),
            "type": "Warning" if self.warning else "Normal",
        }
        if self.related is not None:
            body["related"] = self.related.body()
        return body


def task_reference(namespace: str, name: str, uid: str) -> Reference:
    """Return the reference to an AgentTask."""
    return Reference(TASKS.kind, API_VERSION, namespace, name, uid)


class Events:
    """A bounded queue of Events and the few requests that empty it."""

    def __init__(
        self,
        connection: Connection,
        instance: str,
        on_outcome: Callable[[Outcome], None],
        *,
        capacity: int = 5000,
        senders: int = 4,
    ) -> None:
        self._connection = connection
        self._instance = instance
        self._on_outcome = on_outcome
        self._queue: asyncio.Queue[Event] = asyncio.Queue(capacity)
        self._senders = senders

    def send(self, event: Event) -> None:
        """Queue `event`; where the queue is full it is dropped and counted."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self._on_outcome(Outcome.DROPPED)

    async def run(self) -> None:
        """Send what is queued until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._senders):
                group.create_task(self._keep_sending())

    async def drain(self) -> None:
        """Wait until everything queued was sent, dropped or given up."""
        await self._queue.join()

    async def _keep_sending(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                self._on_outcome(await self._send(event))
            finally:
                self._queue.task_done()

    async def _send(self, event: Event) -> Outcome:
        body = event.body(self._instance)
        path = EVENTS.path(event.namespace)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._connection.post(path, body)
            except AlreadyExistsError:
                return Outcome.SENT
            except (NamespaceTerminatingError, NotFoundError):
                # Nothing can be created there any more; the log is where it can still be told.
                _log.info("event in a terminating namespace", **_fields(event))
                return Outcome.FAILED
            except (PassingError, ConflictError) as error:
                # A conflict is about the quota, which another write changed at the same moment.
                if attempt == _ATTEMPTS:
                    _log.warning("event not sent", error=str(error), **_fields(event))
                    return Outcome.FAILED
                await asyncio.sleep(_pause(attempt, error))
            except ApiAnswerError as error:
                _log.warning("event refused", error=str(error), **_fields(event))
                return Outcome.FAILED
            else:
                return Outcome.SENT
        return Outcome.FAILED


def _fields(event: Event) -> dict[str, object]:
    return {
        "namespace": event.regarding.namespace,
        "task": event.regarding.name,
        "uid": event.regarding.uid,
        "reason": event.reason,
        "note": event.note,
    }


def _pause(attempt: int, error: ApiAnswerError) -> float:
    """Return how many seconds to wait after so many attempts: what the API server asks for, within reason."""
    asked = error.retry_after_seconds if isinstance(error, TooManyRequestsError) else 0.0
    return min(max(float(attempt), asked), _LONGEST_PAUSE_SECONDS)


def _cut(note: str) -> str:
    encoded = note.encode()
    if len(encoded) <= _MAX_NOTE_BYTES:
        return note
    return encoded[: _MAX_NOTE_BYTES - 3].decode(errors="ignore") + "…"
