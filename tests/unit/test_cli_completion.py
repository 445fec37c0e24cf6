"""How `kubectl agentid …` is completed: by kubectl's rules, with names from the cluster, and in silence."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.unit.listing_server import Lists
from tests.unit.plain_server import serving

COMPLETE = Path(sys.executable).with_name("kubectl_complete-agentid")
TASKS = [{"metadata": {"name": name}} for name in ("refund-4711", "refund-4712", "report-1")]


async def completed(*words: str, kubeconfig: Path | None = None) -> list[str]:
    """What kubectl is answered about these words; nothing is said beside it."""
    process = await asyncio.create_subprocess_exec(
        str(COMPLETE),
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": str(kubeconfig or "/none")},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err) == (0, b"")
    return out.decode().splitlines()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("wh",), ["why", ":4"]),
        (("inventory", "--by", ""), ["agent", "owner", "delegator", ":4"]),
        (("inventory", "--by=o"), ["owner", ":4"]),
        (("inventory", "--on"), ["--on-behalf-of", ":4"]),
        (("policy", "di"), ["diff", ":4"]),
        (("policy", "test", ""), [":0"]),
        (("why", 'it\'s "$(so)" '), [":0"]),
        ((), []),
    ],
    ids=["command", "value", "value-behind-equals", "option", "below", "files", "odd", "nothing"],
)
async def test_kubectl_is_told_how_the_line_may_go_on(words: tuple[str, ...], answer: list[str]) -> None:
    told = await completed(*words)
    assert told == answer if answer else {"why", "inventory", "policy", ":4"} <= set(told)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("why", ""), ["refund-4711", "refund-4712", "report-1"]),
        (("why", "ref"), ["refund-4711", "refund-4712"]),
        (("end", "refund-4711", "ref"), ["refund-4712"]),
        (("end", "--agent", ""), ["refund-agent"]),
        (("inventory", "--agent", "ref"), ["refund-agent"]),
        (("why", "-n", "s"), ["support"]),
    ],
)
async def test_names_are_those_of_the_cluster(
    tmp_path: Path, words: tuple[str, ...], names: list[str]
) -> None:
    agents = [{"metadata": {"name": "refund-agent"}}]
    server = Lists(agenttasks=TASKS, agents=agents, namespaces=[{"metadata": {"name": "support"}}])
    async with serving(server.answer, tmp_path) as kubeconfig:
        assert await completed(*words, kubeconfig=kubeconfig) == [*names, ":4"]


async def test_names_are_looked_for_where_the_line_says(tmp_path: Path) -> None:
    server = Lists(agenttasks=TASKS)
    async with serving(server.answer, tmp_path) as kubeconfig:
        assert await completed("why", "--kubeconfig", str(kubeconfig), "-n", "support", "") != [":0"]
    (asked,) = server.asked
    assert asked.path == "/apis/agentid.dev/v1alpha1/namespaces/support/agenttasks"
    assert "as=PartialObjectMetadataList" in asked.headers["Accept"]


@pytest.mark.parametrize("words", [("why", ""), ("why", "-n", "Not a name", ""), ("end", "--agent", "")])
async def test_who_may_not_look_is_offered_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    async with serving(Lists().answer, tmp_path) as kubeconfig:
        assert await completed(*words, kubeconfig=kubeconfig) == [":0"]
    assert await completed(*words) == [":0"]


async def test_what_takes_long_is_not_waited_for(tmp_path: Path) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if "continue" in request.query:
            await asyncio.sleep(600)
        page: dict[str, Any] = {"items": TASKS, "metadata": {"continue": "more"}}
        return web.json_response(page)

    async with serving(answer, tmp_path) as kubeconfig:
        assert await completed("why", "rep", kubeconfig=kubeconfig) == ["report-1", ":4"]
