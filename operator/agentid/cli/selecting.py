"""Which tasks a command is about: those that are named, or all live ones of an agent or a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentid.api.names import HEARTBEAT
from agentid.cli.errors import NotThereError
from agentid.cli.session import Session
from agentid.cluster.connection import Body
from agentid.cluster.errors import NotFoundError
from agentid.cluster.paths import TASKS
from agentid.cluster.watching import list_chunks
from agentid.watched.facts import mapping, sequence, text
from agentid.watched.heartbeat import is_heartbeat

TRIES: Final = 5
"""How often a page of a list is asked for that gets no answer."""

_PREFIXES: Final = (
    "agenttask/",
    "agenttasks/",
    "atask/",
    "agenttask.agentid.dev/",
    "agenttasks.agentid.dev/",
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tasks are meant. All that is given has to fit.

    Attributes:
        names: Their names; empty: all that the rest fits.
        agent: Name of their Agent.
        requester: User name of who asked for them; for a template's tasks its author.
        delegator: Of whom they are done on behalf.
        labels: A label selector.
    """

    names: tuple[str, ...] = ()
    agent: str | None = None
    requester: str | None = None
    delegator: str | None = None
    labels: str | None = None

    def fits(self, body: Body) -> bool:
        """Whether a task is of that agent, requester and delegator."""
        spec = mapping(body.get("spec"))
        found = (
            mapping(spec.get("agentRef")).get("name"),
            asker(spec),
            delegator(body),
        )
        wanted = (self.agent, self.requester, self.delegator)
        return all(want is None or want == is_ for want, is_ in zip(wanted, found, strict=True))

    def __str__(self) -> str:
        """Return it in words."""
        said = (("of Agent", self.agent), ("asked for by", self.requester), ("on behalf of", self.delegator))
        parts = [f"{words} {value}" for words, value in said if value is not None]
        return " ".join([*parts, *([f"with labels {self.labels}"] if self.labels else [])])


def delegator(task: Body) -> str:
    """Return for whom a task is done, of a child the uppermost task; empty: for nobody else."""
    delegation = mapping(mapping(task.get("status")).get("delegation"))
    return text((delegation or {"delegator": mapping(task.get("spec")).get("onBehalfOf")}).get("delegator"))


def asker(spec: Mapping[str, Any]) -> str:
    """Return who answers for what a task asks for, as decisions look at it (`AgentTaskSpec.asker`)."""
    requester, template = mapping(spec.get("requester")), mapping(spec.get("templateRef"))
    if requester and template and requester.get("intentGeneration", 1) == 1:
        return text(mapping(template.get("author")).get("username"))
    return text(requester.get("username"))


async def named(here: Session, name: str) -> Body:
    """Return the task of that name.

    Raises:
        NotThereError: there is none.
    """
    if plain_name(name) == HEARTBEAT:
        raise NotThereError(
            f"{HEARTBEAT} is no task but the operator's sign of life, by which decision points see how old "
            "what they know is"
        )
    try:
        return await here.connection.get(TASKS.path(here.namespace, plain_name(name)))
    except NotFoundError as error:
        where = f"{here.namespace}/{plain_name(name)}"
        raise NotThereError(
            f"AgentTask {where} does not exist; `kubectl get agenttasks -n {here.namespace}` lists what does"
        ) from error
    except ValueError as error:
        raise NotThereError(f"{name!r} cannot be the name of an AgentTask") from error


async def live(here: Session, chosen: Selection) -> list[Body]:
    """Return the tasks that are meant and are not over yet, in the order of their names."""
    pages = list_chunks(here.connection, TASKS, here.scope, label_selector=chosen.labels or None, tries=TRIES)
    found = [
        each
        async for bodies, _ in pages
        for each in bodies
        if chosen.fits(each) and not is_over(each) and not is_heartbeat(each)
    ]
    return sorted(found, key=which)


def plain_name(name: str) -> str:
    """Return the name of a task, which may be written as kubectl prints it: agenttask.agentid.dev/x."""
    return next((name.removeprefix(each) for each in _PREFIXES if name.startswith(each)), name)


def which(body: Body) -> tuple[str, str]:
    """Return namespace and name of an object."""
    metadata = mapping(body.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def condition(body: Body, kind: str) -> Mapping[str, Any]:
    """Return a condition of a task as it was sent, or nothing."""
    conditions = map(mapping, sequence(mapping(body.get("status")).get("conditions")))
    return next((each for each in conditions if each.get("type") == kind), {})


def is_over(body: Body) -> bool:
    """Whether the task has ended, or is being deleted."""
    return condition(body, "Finished").get("status") == "True" or "deletionTimestamp" in mapping(
        body.get("metadata")
    )


def standing(body: Body) -> str:
    """Return what kubectl shows as STATUS."""
    return text(condition(body, "Finished").get("reason"))


def how_it_ended(body: Body) -> str:
    """Return in a word or a few how a task that is over, or is to be, came to its end."""
    if condition(body, "Finished").get("status") == "True":
        return standing(body)
    return "it is being deleted" if "deletionTimestamp" in mapping(body.get("metadata")) else "state Ended"
