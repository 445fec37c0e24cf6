"""Names from the cluster that complete a command line: soon or not at all, and without a word of why not."""

import asyncio
import io
from contextlib import redirect_stderr, suppress
from pathlib import Path
from typing import Final

import typer

from agentid.cli.where import Where
from agentid.errors import AgentidError

_WITHIN_SECONDS: Final = 2.0
"""How long somebody waits who has pressed a key; what was found until then is what there is."""
_WHY_NOT: Final = (AgentidError, TimeoutError, ModuleNotFoundError, ValueError, typer.BadParameter)


def task_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of AgentTasks that go on like that and are not on the line yet."""
    given = ctx.params.get("names") or ()
    return [each for each in _names(ctx, "agenttasks", incomplete) if each not in given]


def agent_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of Agents that go on like that."""
    return _names(ctx, "agents", incomplete)


def namespace_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the names of namespaces that go on like that."""
    return _names(ctx, "namespaces", incomplete)


def record_kinds(incomplete: str) -> list[str]:
    """Return the kinds of records that go on like that."""
    try:
        from agentid.cli.audit.filtering import KINDS  # noqa: PLC0415 - other completions work without it
    except ModuleNotFoundError:
        return []
    return [each for each in KINDS if each.startswith(incomplete)]


def _names(ctx: typer.Context, plural: str, incomplete: str) -> list[str]:
    """Return names as far as the caller may see them, in the cluster and namespace that the line says."""
    found: set[str] = set()
    with redirect_stderr(io.StringIO()), suppress(*_WHY_NOT):
        asyncio.run(_list(ctx, plural, found))
    return sorted(each for each in found if each.startswith(incomplete))


async def _list(ctx: typer.Context, plural: str, found: set[str]) -> None:
    # A command line is completed by a process of its own: it loads no more than that takes.
    from agentid.api.names import HEARTBEAT  # noqa: PLC0415 - as below
    from agentid.cli.session import session  # noqa: PLC0415 - other completions work without it
    from agentid.cluster.paths import AGENTS, NAMESPACES, TASKS  # noqa: PLC0415 - as above
    from agentid.cluster.watching import list_chunks  # noqa: PLC0415 - as above

    asked = ctx.params
    kubeconfig = asked.get("kubeconfig")
    where = Where.of(Path(kubeconfig) if kubeconfig else None, asked.get("context"), asked.get("namespace"))
    resource = next(each for each in (TASKS, AGENTS, NAMESPACES) if each.plural == plural)
    async with asyncio.timeout(_WITHIN_SECONDS), session(where) as here:
        scope = None if resource is NAMESPACES or asked.get("everywhere") else here.namespace
        async for bodies, _ in list_chunks(here.connection, resource, scope, metadata_only=True):
            found.update(each["metadata"]["name"] for each in bodies)
    if resource is TASKS:
        found.discard(HEARTBEAT)
