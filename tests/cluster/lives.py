"""Lives of tasks side by side, from issue over one renewal to the end, and how each came out."""

import json
import secrets as randomness
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from devcluster.audit import acting_user, is_write
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import playing, story
from tests.cluster.objects import ANY_POD, pod, task
from tests.cluster.people import OPERATOR
from tests.laying_out import clear_workloads, fresh_namespace, make_agent

TTL_SECONDS = 30
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is left of a life, and what it took.

    Attributes:
        standing: What the column STATUS shows.
        counting: How many serials still count.
        secret: Whether there is a Secret.
        creates: How often its Secret was created.
        deletes: How often it was deleted.
        told: The reasons of its Events, each once, but for those that tell of the trouble itself.
    """

    standing: str
    counting: int
    secret: bool
    creates: int
    deletes: int
    told: tuple[str, ...]


CLEAN = Outcome("Ended", 0, False, 1, 1, ("CredentialIssued", "CredentialRenewed", "TaskEnded"))
"""How a life comes out that nothing befell; `test_faults_of_writes.py` sees that it does."""
TROUBLE = frozenset({"CleanupDelayed", "CredentialDeleted", "IssuanceBlocked"})
"""Events that tell of the fault, or of the deletion of a Secret that was emptied first."""


@dataclass(slots=True)
class Life:
    """One task on its way.

    Attributes:
        held: The serials that its Secret was seen to hold while they counted, in order.
        ended_at: When its end was asked for, in seconds of the monotonic clock.
        clean_at: When nothing could be read from its Secret any more, likewise.
        gone_at: When the Secret was gone, likewise.
    """

    pod: bool
    held: list[str] = field(default_factory=list)
    ended_at: float | None = None
    clean_at: float | None = None
    gone_at: float | None = None
    finished: bool = False


class Lives:
    """Tasks in one namespace. Each is ended once its second credential is in its Secret and told of."""

    def __init__(
        self,
        here: Kubectl,
        names: Iterable[str],
        with_pods: Collection[str] = (),
        *,
        ttl_seconds: int = TTL_SECONDS,
    ) -> None:
        self._here = here
        self._ttl_seconds = ttl_seconds
        self.of = {name: Life(pod=name in with_pods) for name in names}

    def begin(self) -> None:
        """Create their pods and then the tasks."""
        pods = [name for name, each in self.of.items() if each.pod]
        if pods:
            self._here.create([pod(name, of=name) for name in pods])
            for name in pods:
                playing.scheduled(self._here, name)
                playing.start(self._here, name)
        manifests = [
            task(name, credential={"ttlSeconds": self._ttl_seconds}, **(ANY_POD if each.pod else {}))
            for name, each in self.of.items()
        ]
        for first in range(0, len(manifests), AT_ONCE):
            self._here.create(manifests[first : first + AT_ONCE])

    def run(self, within: timedelta, *, until_gone: bool = True) -> None:
        """Lead every one to its end and wait until its Secret is gone, or only until nothing is in it."""

        def unfinished() -> dict[str, Life]:
            self._step()
            return {
                name: each
                for name, each in self.of.items()
                if not each.finished or (each.gone_at if until_gone else each.clean_at) is None
            }

        wait_until(
            "every life is over",
            unfinished,
            lambda left: not left,
            within=within,
            every=timedelta(seconds=0.3),
        )

    def end_all(self) -> None:
        """Ask for the end of all of them now."""
        self._end([*self.of])

    def _step(self) -> None:
        """Look at all once, and end those whose time has come."""
        tasks, secrets = self._look()
        renewed = self._renewed()
        to_end = []
        for name, each in self.of.items():
            found = tasks.get(name, {})
            secret = secrets.get(f"agentid-{name}")
            each.finished = story.is_finished(found)
            if each.ended_at is None:
                serial = story.leaf_serial(secret) if secret else ""
                counted = story.serials(found)
                if serial and counted and serial == counted[-1] and serial not in each.held:
                    each.held.append(serial)
                if len(each.held) > 1 and name in renewed:
                    to_end.append(name)
                continue
            now = time.monotonic()
            if each.clean_at is None and (secret is None or story.is_empty(secret)):
                each.clean_at = now
                if each.pod:
                    playing.finish(self._here, name)
            if each.clean_at is not None and secret is None and each.gone_at is None:
                each.gone_at = now
        if to_end:
            self._end(to_end)

    def _end(self, names: list[str]) -> None:
        """Ask for their end with one call."""
        patch = json.dumps({"spec": {"state": "Ended"}})
        for name in names:
            self.of[name].ended_at = time.monotonic()
        self._here("patch", "agenttask", *names, "--type=merge", f"--patch={patch}")

    def _renewed(self) -> set[str]:
        """The tasks whose renewal an Event tells of, once one may be."""
        if not any(len(each.held) > 1 and each.ended_at is None for each in self.of.values()):
            return set()
        events = self._here.list("events.events.k8s.io")
        return {each["regarding"]["name"] for each in events if each["reason"] == "CredentialRenewed"}

    def _look(self) -> tuple[dict[str, Object], dict[str, Object]]:
        """All tasks and Secrets by name, in one call."""
        found = json.loads(self._here("get", "agenttasks,secrets", "--output=json"))["items"]
        by_kind: dict[str, dict[str, Object]] = {"AgentTask": {}, "Secret": {}}
        for each in found:
            by_kind[each["kind"]][each["metadata"]["name"]] = each
        return by_kind["AgentTask"], by_kind["Secret"]

    def outcomes(self, cluster: ControlPlane) -> dict[str, Outcome]:
        """How each came out, by its name."""
        tasks, secrets = self._look()
        written = writes_to_secrets(cluster, self._here)
        told: dict[str, set[str]] = {}
        for event in self._here.list("events.events.k8s.io"):
            if event["regarding"]["kind"] == "AgentTask":
                told.setdefault(event["regarding"]["name"], set()).add(event["reason"])
        return {
            name: Outcome(
                story.standing(tasks[name]),
                len(story.serials(tasks[name])),
                f"agentid-{name}" in secrets,
                written.count(("create", f"agentid-{name}")),
                written.count(("delete", f"agentid-{name}")),
                tuple(sorted(told.get(name, set()) - TROUBLE)),
            )
            for name in self.of
        }

    def readable(self) -> list[str]:
        """The Secrets that hold something although their task is over, or a serial that does not count."""
        tasks, secrets = self._look()
        return [
            name
            for name in self.of
            if (secret := secrets.get(f"agentid-{name}")) is not None
            and not story.is_empty(secret)
            and story.leaf_serial(secret) not in story.serials(tasks[name])
        ]


@contextmanager
def team_of(cluster: ControlPlane, name: str) -> Iterator[Kubectl]:
    """A namespace with an Agent and its service account, for all tests of a module."""
    with fresh_namespace(cluster.kubectl, f"{name}-{randomness.token_hex(3)}") as here:
        make_agent(here)
        yield here
        clear_workloads(here)


def made_and_deleted(cluster: ControlPlane, here: Kubectl, *names: str) -> dict[str, tuple[int, int]]:
    """How often the operator created, and deleted, the Secret of each of these tasks."""
    written = writes_to_secrets(cluster, here)
    return {
        name: (written.count(("create", f"agentid-{name}")), written.count(("delete", f"agentid-{name}")))
        for name in names
    }


def writes_to_secrets(cluster: ControlPlane, here: Kubectl) -> list[tuple[str, str]]:
    """Verb and name of every write of the operator to a Secret of a namespace that was carried out."""
    found = []
    for event in cluster.audit():
        where = event.get("objectRef", {})
        if where.get("resource") != "secrets" or where.get("namespace") != here.namespace:
            continue
        if acting_user(event) == OPERATOR and is_write(event):
            sent = (event.get("requestObject") or {}).get("metadata", {}).get("name", "")
            found.append((event["verb"], where.get("name") or sent))
    return found
