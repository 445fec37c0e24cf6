"""The Lease that makes one operator the active one: the lock under `kubernetes.aio.leaderelection`.

The election itself is the official client's; it measures with the wall clock, which can jump. This lock adds
what agentid relies on: time is measured by a clock that cannot be set and that counts a suspended machine's
sleep, another's lease is taken only after that clock has seen it unchanged for its whole duration, and who
takes over learns until when its predecessor was at work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.baselock import BaseLock

from agentid.cluster.connection import Body, Connection
from agentid.cluster.errors import ApiAnswerError, NotFoundError
from agentid.cluster.paths import LEASES

UNSETTLED_ANNOTATION: Final = "agentid.dev/unsettled-since"
"""While it is there, what was written after that time has not been made sure of by a later holder."""
SETTLED_ANNOTATION: Final = "agentid.dev/settled-at"
"""Its holder gave the Lease up at that time, and left nothing half done.

It counts only while nobody holds the Lease and `renewTime` is that very time: whoever takes or renews it
writes another one, so that no holder who died is covered by what an earlier one said.
"""

Answer = tuple[bool, LeaderElectionRecord] | tuple[bool, Exception] | tuple[bool, None]
_NEVER: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Takeover:
    """What the Lease said when it was taken: since when writes may be half done.

    `last_at_work` is the predecessor's last sign of life by its own clock, or that of an earlier one whose
    work was never made sure of; the beginning of time where there was no Lease, so that all is in doubt.
    `settled`: the predecessor gave the Lease up and said that nothing was half done then.
    """

    last_at_work: datetime
    settled: bool = False


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long a lease holds, how long its holder tries to renew it, and how often; in seconds."""

    duration_seconds: int = 15
    renew_deadline_seconds: int = 10
    retry_seconds: int = 2


class LeaseLock(BaseLock):
    """One candidate's view of the Lease, and its claim on it."""

    def __init__(  # noqa: PLR0913 - what the lock is, and the two clocks it needs
        self,
        connection: Connection,
        *,
        name: str,
        namespace: str,
        identity: str,
        times: LeaseTimes,
        clock: Callable[[], datetime],
        boottime: Callable[[], float],
    ) -> None:
        super().__init__(name, namespace, identity)
        self._connection = connection
        self._times = times
        self._clock = clock
        self._boottime = boottime
        self._seen: Body | None = None
        self._seen_spec: Body = {}
        self._unchanged_since = 0.0
        self._held_until: float | None = None
        self._unsettled_since: datetime | None = None
        self.takeover = Takeover(_NEVER)

    @property
    def held(self) -> bool:
        """Whether this candidate holds the lease for certain, by the clock that counts suspension."""
        return self._held_until is not None and self._boottime() < self._held_until

    def seconds_until_anothers(self) -> float:
        """Return in how many seconds another may take the lease, had it seen the last renewal at once.

        That is later than `held` ends, by the time that a write begun until then may still take.
        """
        if self._held_until is None:
            return 0.0
        grace = self._times.duration_seconds - self._times.renew_deadline_seconds
        return self._held_until + grace - self._boottime()

    @property
    def held_by_another(self) -> bool:
        """Whether another holder was seen to renew the lease within its duration."""
        holder = self._seen_spec.get("holderIdentity") or ""
        age = self._boottime() - self._unchanged_since
        return holder not in {"", self.identity} and age < self._times.duration_seconds

    def lose(self) -> None:
        """Note that the lease was lost; when it is taken again, that counts as a takeover."""
        self._held_until = None

    def settle(self) -> None:
        """Say that everything the predecessor may have left half done has been made sure of."""
        self._unsettled_since = None

    async def get(self, name: str, namespace: str) -> Answer:
        """Read the Lease (for the election)."""
        try:
            lease = await self._connection.get(LEASES.path(namespace, name))
        except NotFoundError:
            self._seen = None
            missing = ApiException(status=404, reason="NotFound")
            missing.body = orjson.dumps({"code": 404}).decode()
            return False, missing
        except ApiAnswerError as error:
            return False, ApiException(status=0, reason=str(error))
        spec = lease.get("spec") or {}
        if self._seen is None or spec != self._seen_spec:
            self._unchanged_since = self._boottime()
        self._seen, self._seen_spec = lease, spec
        return True, LeaderElectionRecord(
            spec.get("holderIdentity") or None,
            str(spec.get("leaseDurationSeconds") or "") or None,
            spec.get("acquireTime"),
            spec.get("renewTime"),
        )

    async def create(self, name: str, namespace: str, election_record: object) -> bool:  # noqa: ARG002 - own clock
        """Create the Lease (for the election)."""
        self._unsettled_since = _NEVER
        body = self._body(name, namespace, {})
        return await self._write(self._connection.post, LEASES.path(namespace), body, Takeover(_NEVER))

    async def update(self, name: str, namespace: str, updated_record: object) -> bool:  # noqa: ARG002 - own clock
        """Renew or take the Lease (for the election); only in the version that was read."""
        if self._seen is None:
            return False
        holder = self._seen_spec.get("holderIdentity") or ""
        if holder == self.identity:
            takeover = self.takeover if self._held_until is not None else self._inherited()
        else:
            waited = self._boottime() - self._unchanged_since
            if holder and waited < self._seen_spec.get("leaseDurationSeconds", self._times.duration_seconds):
                return False
            takeover = self._inherited()
        body = self._body(name, namespace, self._seen)
        return await self._write(self._connection.put, LEASES.path(namespace, name), body, takeover)

    async def release(self, *, settled: bool) -> None:
        """Give the Lease up so that another may take it at once; `settled`: nothing is half done."""
        if not self.held:
            return
        self._held_until = None
        found, _ = await self.get(self.name, self.namespace)
        if not found or self._seen is None or self._seen_spec.get("holderIdentity") != self.identity:
            return
        body = self._body(self.name, self.namespace, self._seen)
        body["spec"]["holderIdentity"] = ""
        if settled and self._unsettled_since is None:
            body["metadata"]["annotations"] = {SETTLED_ANNOTATION: body["spec"]["renewTime"]}
        await self._connection.put(LEASES.path(self.namespace, self.name), body)

    async def _write(
        self, write: Callable[[str, Body], Any], path: str, body: Body, takeover: Takeover
    ) -> bool:
        # Counted from before the request: the others count from when they see it, which is later.
        asked_at = self._boottime()
        try:
            self._seen = await write(path, body)
        except ApiAnswerError:
            return False
        self._seen_spec = (self._seen or {}).get("spec") or {}
        self.takeover = takeover
        self._held_until = asked_at + self._times.renew_deadline_seconds
        return True

    def _inherited(self) -> Takeover:
        """Return what the Lease that was read says of its last holder's work."""
        annotations = ((self._seen or {}).get("metadata") or {}).get("annotations") or {}
        renewed_at = _read_time(self._seen_spec.get("renewTime"))
        times = [_read_time(annotations.get(UNSETTLED_ANNOTATION)), renewed_at]
        takeover = Takeover(
            min((moment for moment in times if moment is not None), default=_NEVER),
            settled=renewed_at is not None
            and renewed_at == _read_time(annotations.get(SETTLED_ANNOTATION))
            and not self._seen_spec.get("holderIdentity")
            and UNSETTLED_ANNOTATION not in annotations,
        )
        self._unsettled_since = takeover.last_at_work
        return takeover

    def _body(self, name: str, namespace: str, seen: Body) -> Body:
        now = _micro_time(self._clock())
        spec = seen.get("spec") or {}
        metadata: Body = {"name": name, "namespace": namespace}
        if seen:
            metadata |= {key: seen["metadata"][key] for key in ("uid", "resourceVersion")}
        if self._unsettled_since is not None:
            metadata["annotations"] = {UNSETTLED_ANNOTATION: _micro_time(self._unsettled_since)}
        mine = spec.get("holderIdentity") == self.identity
        transitions = int(spec.get("leaseTransitions") or 0)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self._times.duration_seconds,
                "acquireTime": spec.get("acquireTime") if mine else now,
                "renewTime": now,
                "leaseTransitions": transitions if mine else transitions + 1,
            },
        }


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
