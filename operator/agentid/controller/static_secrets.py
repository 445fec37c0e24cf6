"""The static secrets that tasks ask for: what AgentSecrets say of them, and whether their values are there.

No value is kept: what is remembered of a source is its version, or why it can't be used.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import structlog

from agentid.api.agentsecret import AgentSecretSpec, SecretSource
from agentid.api.agenttask_status import HeldSecret
from agentid.cluster.connection import Body
from agentid.cluster.errors import ApiAnswerError, UnusableSourceError
from agentid.cluster.reflector import Reflector
from agentid.cluster.sources import Sources, Value
from agentid.controller.metrics import Metrics
from agentid.lifecycle.model import Blocked, StaticSecretFacts
from agentid.watched.facts import mapping, read

_log = structlog.get_logger("agentid.static_secrets")

_RETRY_SECONDS: Final = 5.0
"""How soon a source is looked at again that could not be read."""
_KEPT_INTERVALS: Final = 2
"""What was seen so many intervals ago was not looked at since: this operator did not lead."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Values on their way into one task's Secret, and what its status says of them."""

    files: Mapping[str, bytes] = field(repr=False)
    held: tuple[HeldSecret, ...]


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a source was when it was last read, at `at`: in a version, of no use, or nobody knows."""

    source: SecretSource
    at: float
    version: str | None = None
    problem: str | None = None
    doubt: str | None = None

    @property
    def known(self) -> tuple[str | None, str | None, str | None]:
        return self.version, self.problem, self.doubt


class StaticSecrets:
    """What is known of static secrets; tells `changed` of which something else is known now."""

    def __init__(  # noqa: PLR0913 - what is read, for whom, and when
        self,
        sources: Sources,
        metrics: Metrics,
        *,
        declared: Callable[[Callable[[str], None]], Reflector[AgentSecretSpec | None]],
        used: Callable[[], Iterable[str]],
        changed: Callable[[str], None],
        leads: Callable[[], bool],
        interval_seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sources = sources
        self._metrics = metrics
        self._declared = declared(changed)
        self._used = used
        self._changed = changed
        self._leads = leads
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._sleep = sleep
        self._seen: dict[str, _Seen] = {}
        self._looking: dict[str, asyncio.Lock] = {}

    async def listed(self) -> None:
        """Wait until all AgentSecrets have been seen once."""
        await self._declared.listed.wait()

    async def facts(
        self, names: Iterable[str], *, started: bool
    ) -> tuple[tuple[StaticSecretFacts, ...], Blocked | None]:
        """Return what is known of the secrets of these names, and why none may be copied just now, if so.

        `started`: the task has one, so that its absence ends the task; the watch alone is not believed.

        Raises:
            ApiAnswerError: the API server did not say whether there is an AgentSecret.
        """
        found: list[StaticSecretFacts] = []
        blocked: Blocked | None = None
        for name in names:
            spec = self._declared.get(name)
            if spec is None and started:
                await self._declared.look(name)
                spec = self._declared.get(name)
            if spec is None:
                found.append(StaticSecretFacts(name, None))
                continue
            seen = await self._look_if_needed(name, spec.source)
            found.append(StaticSecretFacts(name, spec, seen.version, seen.problem))
            if seen.doubt is not None:
                blocked = blocked or Blocked(seen.doubt)
        return tuple(found), blocked

    async def copies(self, secrets: Iterable[StaticSecretFacts]) -> Copies | None:
        """Return the values of these secrets as they are now; None: one can't be read, `facts` say why."""
        values: dict[str, Value] = {}
        for each in secrets:
            if each.spec is None:
                return None
            _, value = await self._read(each.name, each.spec.source)
            if value is None:
                return None
            values[each.name] = value
        return Copies(
            {name: value.content for name, value in values.items()},
            tuple(HeldSecret(name=name, version=value.version) for name, value in values.items()),
        )

    def names_in(self, namespace: str) -> tuple[str, ...]:
        """Return the names of all that some Agent of this namespace may have."""
        return tuple(
            name
            for name, spec in self._declared.items()
            if spec is not None and any(agent.namespace == namespace for agent in spec.agents)
        )

    async def run(self) -> None:
        """Watch AgentSecrets, and read again what tasks have copies of, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._declared.run())
            group.create_task(self._keep_reading())

    async def _keep_reading(self) -> None:
        while True:
            await self._sleep(min(_RETRY_SECONDS, self._interval_seconds))
            if self._leads():
                await self.read_again()

    async def read_again(self) -> None:
        """Read the sources that are due, of secrets that live tasks ask for; forget what nobody asks for."""
        used = set(self._used())
        for name in self._seen.keys() - used:
            del self._seen[name]
            self._looking.pop(name, None)
        for name, seen in list(self._seen.items()):
            spec = self._declared.get(name)
            pause = self._interval_seconds if seen.version is not None else _RETRY_SECONDS
            if spec is not None and self._clock() - seen.at >= min(pause, self._interval_seconds):
                await self._read(name, spec.source)

    async def _look_if_needed(self, name: str, source: SecretSource) -> _Seen:
        """Return how the source was when it was read lately; it is read where it was not."""
        async with self._looking.setdefault(name, asyncio.Lock()):
            seen = self._seen.get(name)
            oldest = self._clock() - _KEPT_INTERVALS * self._interval_seconds - _RETRY_SECONDS
            if seen is None or seen.source != source or seen.at < oldest:
                seen, _ = await self._read(name, source)
            return seen

    async def _read(self, name: str, source: SecretSource) -> tuple[_Seen, Value | None]:
        """Return the value as it is now, and what is remembered of it: its version, or why there is none."""
        at, value = self._clock(), None
        try:
            value = await self._sources.read(source)
        except UnusableSourceError as error:
            problem = (
                f"static secret {name} can't be copied: its source {error}. Have the platform team look at "
                f"AgentSecret {name}."
            )
            seen, why = _Seen(source, at, problem=problem), str(error)
        except ApiAnswerError as error:
            doubt = (
                f"static secret {name} can't be copied just now: its source can't be read. Have the platform "
                "team look at the operator's log, and whether the chart's staticSecrets.sources lists it."
            )
            seen, why = _Seen(source, at, doubt=doubt), str(error)
        else:
            seen, why = _Seen(source, at, version=value.version), ""
        self._note(name, seen, why)
        return seen, value

    def _note(self, name: str, seen: _Seen, error: str) -> None:
        old = self._seen.get(name)
        if old is not None and old.source == seen.source and seen.at < old.at:
            # Another read began later and was answered sooner.
            return
        self._seen[name] = seen
        where = {"name": name, "secret": seen.source.secret_name, "key": seen.source.key}
        if seen.version is None:
            self._metrics.static_secret_failures.inc()
        if old is not None and old.known == seen.known:
            return
        if seen.version is None:
            _log.warning("static secret not readable", error=error, **where)
        elif old is not None:
            _log.info("static secret changed", version=seen.version, **where)
        if old is not None:
            self._changed(name)


def declared_spec(body: Body) -> AgentSecretSpec | None:
    """Return what an AgentSecret says; None where it is going, or does not fit its model."""
    if "deletionTimestamp" in mapping(body.get("metadata")):
        return None
    spec, invalid = read(AgentSecretSpec, body.get("spec"))
    if spec is None:
        name = mapping(body.get("metadata")).get("name")
        _log.warning("AgentSecret can't be read", name=name, error=invalid)
    return spec
