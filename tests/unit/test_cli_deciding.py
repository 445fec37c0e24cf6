"""What becomes of a yes where an answer of the API server is lost, or is not as hoped for."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from agentid.api.agentapproval import Decision
from agentid.cli.approvals import listed, review, show_next, shown_as_json
from agentid.cli.asking import observe
from agentid.cli.deciding import Decided, decide
from agentid.cli.orders import Result
from agentid.cli.pending import all_waiting, judge, one
from agentid.cli.saying import Saying
from agentid.cli.session import session
from agentid.cli.surroundings import Surroundings
from agentid.cli.where import Where
from agentid.cli.why import commands_of
from agentid.controller.packed_task import PackedTask
from tests.unit.cli_tasks import NEED, NOW, pending, task
from tests.unit.plain_server import serving

ERIN = "erin@example.com"
_GROUP = "/apis/agentid.dev/v1alpha1/namespaces/support"
_APPROVALS = f"{_GROUP}/agentapprovals"
_DATE = {"Date": NOW.strftime("%a, %d %b %Y %H:%M:%S GMT")}
LOST, REFUSED = 500, 403


class Server:
    """Keeps tasks and approvals; loses or refuses what it is told to."""

    def __init__(self, *tasks: dict[str, Any]) -> None:
        self.tasks = {each["metadata"]["name"]: each for each in tasks}
        self.approvals: dict[str, dict[str, Any]] = {}
        self.lost_posts = 0
        self.keeps_lost = True
        self.refused: set[str] = set()
        self.posts = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({}, headers=_DATE)
        if request.path.endswith("/selfsubjectreviews"):
            return web.json_response({"status": {"userInfo": {"username": ERIN}}})
        if request.path in self.refused:
            return _status(REFUSED, "Forbidden")
        if request.method == "POST":
            return await self._take(json.loads(await request.text()))
        found: Any = {"items": list(self.tasks.values())}
        if request.path.startswith(_APPROVALS):
            name = request.path.removeprefix(f"{_APPROVALS}/")
            found = (
                {"items": list(self.approvals.values())} if name == _APPROVALS else self.approvals.get(name)
            )
        elif "/agenttasks/" in request.path:
            found = self.tasks.get(request.path.rpartition("/")[2])
        return web.json_response(found) if found is not None else _status(404, "NotFound")

    async def _take(self, body: dict[str, Any]) -> web.Response:
        self.posts += 1
        name = body["metadata"]["name"]
        if name in self.approvals:
            return _status(409, "AlreadyExists")
        if self.lost_posts and not self.keeps_lost:
            self.lost_posts -= 1
            return _status(LOST, "InternalError")
        body["metadata"] |= {"resourceVersion": "9", "creationTimestamp": "2026-11-23T10:00:00Z", "uid": "u"}
        body["spec"]["approver"]["groups"] = ["system:authenticated"]
        self.approvals[name] = body
        self.tasks["refund"]["status"]["conditions"][0] |= {"reason": "Running", "message": "ends by then"}
        if self.lost_posts:
            self.lost_posts -= 1
            return _status(LOST, "InternalError")
        return web.json_response(body)


def _status(code: int, reason: str) -> web.Response:
    status = {"kind": "Status", "code": code, "reason": reason, "message": f"because {reason}"}
    return web.json_response(status, status=code)


YES = Saying(Decision.APPROVE, None, within_seconds=5)


async def approved(server: Server, folder: Path, saying: Saying = YES, me: str = ERIN) -> Decided:
    async with (
        serving(server.answer, folder) as kubeconfig,
        session(Where(kubeconfig, None, "support")) as here,
    ):
        seen = await one(here, server.tasks["refund"])
        return await decide(here, saying, seen, me)


async def on_a_terminal(server: Server, folder: Path, typed: str, *told: str) -> tuple[int, str, str]:
    """Run `agentid approve refund` where its standard input is a terminal, at which `typed` is typed."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{typed}\n".encode())
        async with serving(server.answer, folder) as kubeconfig:
            words = ("approve", "refund", "-n", "support", "--kubeconfig", str(kubeconfig), *told)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "agentid", *words), stdin=theirs, stdout=PIPE, stderr=PIPE
            )
            out, err = await process.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_on_a_terminal_it_is_asked_whether_what_is_shown_is_approved(tmp_path: Path) -> None:
    server = Server(task())
    code, out, err = await on_a_terminal(server, tmp_path, "n")
    assert (code, server.posts) == (1, 0)
    assert "What exactly is approved: intent 1, v1:" in out
    assert "Approve just this? [y/N]" in err
    assert "Nothing was approved." in err
    # What a program reads has nothing else in it.
    code, out, err = await on_a_terminal(server, tmp_path, "y", "-o", "json")
    assert (code, json.loads(out)["result"], server.posts) == (0, "done", 1)
    assert "What exactly is approved: intent 1, v1:" in err


async def test_what_says_of_what_it_is_is_asked_nothing(tmp_path: Path) -> None:
    server = Server(task())
    request = pending(server.tasks["refund"]).request
    assert request is not None
    code, _, err = await on_a_terminal(server, tmp_path, "n", "--spec-hash", request.spec_hash)
    assert (code, err, server.posts) == (0, "", 1)


def test_the_next_command_approves_what_was_shown_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = pending(task())
    assert seen.request is not None
    command = f"agentid approve refund -n support --spec-hash {seen.request.spec_hash}"
    show_next(seen)
    assert command in capsys.readouterr().out.splitlines()
    commands = commands_of(observe(seen.body, Surroundings(), NOW))
    assert commands is not None
    assert command in commands.splitlines()
    assert commands_of(observe(task(standing="Running"), Surroundings(), NOW)) is None


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "not-kept"])
async def test_a_yes_whose_answer_was_lost_is_said_once(tmp_path: Path, keeps: bool) -> None:  # noqa: FBT001 - a table
    server = Server(task())
    server.lost_posts, server.keeps_lost = 1, keeps
    decided = await approved(server, tmp_path)
    assert (decided.outcome.result, len(server.approvals), server.posts) == (Result.DONE, 1, 2)


async def test_a_name_that_somebody_elses_word_has_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    server = Server(task())
    first = await approved(server, tmp_path)
    assert first.approval is not None
    name = first.approval["metadata"]["name"]
    server.tasks["refund"] = task()
    server.approvals[name]["spec"]["approver"]["username"] = "mallory@example.com"
    decided = await approved(server, tmp_path)
    assert decided.outcome.result is Result.REFUSED
    assert "is somebody else's; try again" in decided.outcome.message
    assert decided.approval is None


async def test_a_yes_that_nobody_can_see_through_is_written_and_unsettled(tmp_path: Path) -> None:
    server = Server(task())
    async with (
        serving(server.answer, tmp_path) as kubeconfig,
        session(Where(kubeconfig, None, "support")) as here,
    ):
        seen = await one(here, server.tasks["refund"])
        looks = 0

        async def blind(request: web.BaseRequest) -> web.StreamResponse:
            nonlocal looks
            looks += request.path.endswith("/agenttasks/refund")
            return _status(REFUSED, "Forbidden") if looks > 1 else await server.answer(request)

        with_blind = tmp_path / "blind"
        with_blind.mkdir()
        async with serving(blind, with_blind) as other, session(Where(other, None, "support")) as there:
            decided = await decide(there, replace(YES, within_seconds=0.5), seen, ERIN)
    assert decided.outcome.result is Result.UNSETTLED
    assert "what came of it cannot be seen" in decided.outcome.message
    assert len(server.approvals) == 1


async def test_what_was_changed_since_it_was_shown_writes_nothing(tmp_path: Path) -> None:
    for now, said in (
        (task(intent={"purpose": "More", "actions": ["refunds:create"]}), "was changed since it was shown"),
        (
            task(requester={"username": "alice@example.com", "intentGeneration": 2}),
            "was changed since it was",
        ),
        (task(number=2), "is another one by now"),
    ):
        server = Server(now)
        async with (
            serving(server.answer, tmp_path) as kubeconfig,
            session(Where(kubeconfig, None, "support")) as here,
        ):
            decided = await decide(here, YES, pending(task()), ERIN)
        assert decided.outcome.result is Result.REFUSED
        assert said in decided.outcome.message
        assert server.approvals == {}


async def test_where_approvals_cannot_be_seen_none_is_guessed(tmp_path: Path) -> None:
    server = Server(task(), task("runs", 2, standing="Running"))
    server.refused.add(_APPROVALS)
    async with (
        serving(server.answer, tmp_path) as kubeconfig,
        session(Where(kubeconfig, None, "support")) as here,
    ):
        found, unseen = await all_waiting(here, None)
        alone = await one(here, server.tasks["refund"])
    assert ([each.task.name for each in found], unseen) == (["refund"], ("support",))
    assert "?/1" in listed(found, everywhere=False, wide=True)
    assert alone.approved_by is None
    said = shown_as_json(alone)
    assert (said["approvals"], said["approvedBy"], said["wanted"]) == (None, None, 1)


def test_a_step_is_told_with_the_tasks_above_it_and_for_whom_it_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    above = task("top", 1, standing="Running", onBehalfOf="carol@example.com")
    reference = {key: above["metadata"][key] for key in ("name", "uid")}
    credential = {"mode": "None", "renew": False, "ttlSeconds": 120}
    step = task("step", 2, parentRef=reference, credential=credential)
    seen = judge(step, {("support", "top"): PackedTask.of(above).facts()}, [], NOW)
    review(seen, Console(width=200))
    told = capsys.readouterr().out
    assert "for up to 2 min, as a step, with its parent's identity" in told
    assert "top, asked for by alice@example.com on behalf of carol@example.com" in told
    assert shown_as_json(seen)["onBehalfOf"] == "carol@example.com"
    assert "carol@example.com" in listed([seen], everywhere=False, wide=False)


def test_a_task_that_cannot_be_read_is_listed_too() -> None:
    odd, plain = task(agentRef=7), task("plain", 2)
    lines = listed([pending(odd), pending(plain)], everywhere=True, wide=True).splitlines()
    assert lines[1].split()[:2] == ["support", "refund"]
    assert NEED.partition(" allows")[0] in lines[1]
    assert shown_as_json(pending(odd))["projection"] is None
