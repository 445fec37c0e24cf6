"""How `kubectl agentid …` is completed: by kubectl's rules, with names from the cluster, and in silence."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from agentid.cli.kubectl_completion import answer
from tests.unit.listing_server import Lists
from tests.unit.plain_server import serving

COMPLETE = Path(sys.executable).with_name("kubectl_complete-agentid")
TASKS = [{"metadata": {"name": name}} for name in ("refund-4711", "refund-4712", "report-1")]


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What an answer leaves in the environment of its process goes with the test."""
    for name in ("_AGENTID_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    return monkeypatch


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


async def answered(*words: str, kubeconfig: Path) -> list[str]:
    """The same, by a line that names its kubeconfig, without a process of its own."""
    told = asyncio.to_thread(answer, [*words[:-1], "--kubeconfig", str(kubeconfig), words[-1]])
    return (await asyncio.wait_for(told, 30)).splitlines()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("wh",), ["why", ":4"]),
        (("inventory", "--by", ""), ["agent", "owner", "delegator", ":4"]),
        (("inventory", "--by=o"), ["owner", ":4"]),
        (("inventory", "--on"), ["--on-behalf-of", ":4"]),
        (("policy", "di"), ["diff", ":4"]),
        (("audit", "query", "--event", "is"), ["issued", ":4"]),
        (("policy", "test", ""), [":0"]),
        (("why", 'it\'s "$(so)" '), [":0"]),
        ((), []),
    ],
    ids=["command", "value", "value-behind-equals", "option", "below", "kind", "files", "odd", "nothing"],
)
async def test_kubectl_is_told_how_the_line_may_go_on(words: tuple[str, ...], told: list[str]) -> None:
    lines = await completed(*words)
    assert lines == told if told else {"why", "inventory", "policy", ":4"} <= set(lines)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (("why", ""), ["refund-4711", "refund-4712", "report-1"]),
        (("why", "ref"), ["refund-4711", "refund-4712"]),
        (("end", "refund-4711", "ref"), ["refund-4712"]),
        (("end", "two words", "ref"), ["refund-4711", "refund-4712"]),
        (
            (
                "end",
                "--agent=",
            ),
            ["refund-agent"],
        ),
        (
            (
                "inventory",
                "--agent=ref",
            ),
            ["refund-agent"],
        ),
        (
            (
                "why",
                "--namespace=s",
            ),
            ["support"],
        ),
    ],
)
@pytest.mark.usefixtures("own_environment")
async def test_names_are_those_of_the_cluster(
    tmp_path: Path, words: tuple[str, ...], names: list[str]
) -> None:
    agents = [{"metadata": {"name": "refund-agent"}}]
    server = Lists(agenttasks=TASKS, agents=agents, namespaces=[{"metadata": {"name": "support"}}])
    async with serving(server.answer, tmp_path) as kubeconfig:
        assert await answered(*words, kubeconfig=kubeconfig) == [*names, ":4"]


async def test_names_are_looked_for_where_the_line_says(tmp_path: Path) -> None:
    server = Lists(agenttasks=TASKS)
    async with serving(server.answer, tmp_path) as kubeconfig:
        assert await completed("why", "--kubeconfig", str(kubeconfig), "-n", "support", "") != [":0"]
    (asked,) = server.asked
    assert asked.path == "/apis/agentid.dev/v1alpha1/namespaces/support/agenttasks"
    assert "as=PartialObjectMetadataList" in asked.headers["Accept"]


async def test_who_may_not_look_is_offered_nothing(tmp_path: Path) -> None:
    async with serving(Lists().answer, tmp_path) as kubeconfig:
        assert await completed("why", "", kubeconfig=kubeconfig) == [":0"]
    assert await completed("why", "") == [":0"]


@pytest.mark.usefixtures("own_environment")
async def test_what_can_be_no_namespace_is_not_looked_into(tmp_path: Path) -> None:
    server = Lists(agenttasks=TASKS)
    async with serving(server.answer, tmp_path) as kubeconfig:
        assert await answered("why", "-n", "No such", "", kubeconfig=kubeconfig) == [":0"]
    assert server.asked == []


@pytest.mark.usefixtures("own_environment")
async def test_what_takes_long_is_not_waited_for(tmp_path: Path) -> None:
    async def endlessly(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        endless: dict[str, Any] = {"items": TASKS, "metadata": {"continue": "more"}}
        return web.json_response(endless)

    async with serving(endlessly, tmp_path) as kubeconfig:
        assert await answered("why", "rep", kubeconfig=kubeconfig) == ["report-1", ":4"]
