"""What becomes of a command's tasks where a name, or an answer of the API server, is not as hoped for."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from agentid.api.agenttask import DesiredState
from agentid.cli.changing import order
from agentid.cli.main import app
from agentid.cli.orders import Outcome, Result
from agentid.cli.session import session
from agentid.cli.states import carry_out
from agentid.cli.where import Where
from tests.unit.plain_server import serving

WHY = ("--reason", "because")
CONFLICT = (409, "Conflict")
_TASKS = "/apis/agentid.dev/v1alpha1/namespaces/default/agenttasks"


def task(name: str, state: str = "Active") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": name, "uid": f"u-{name}", "generation": 2},
        "spec": {"state": state},
        "status": {"observedGeneration": 1},
    }


class Server:
    """Answers about tasks as it is told to, and acts on each change of one at once."""

    def __init__(self, *names: str) -> None:
        self.tasks = {name: task(name) for name in names}
        self.refuses: dict[tuple[str, str], list[tuple[int, str]]] = {}
        """By verb and name: what is answered instead, one after the other."""
        self.said = ""
        """The message of each of them; empty: the reason."""
        self.asked: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.01)
        try:
            return await self._answer(request)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("selfsubjectreviews"):
            return web.json_response({"status": {"userInfo": {"username": "alice", "groups": []}}})
        assert request.path.startswith(f"{_TASKS}/"), request.path
        name = request.path.removeprefix(f"{_TASKS}/")
        self.asked[request.method] += 1
        if waits := self.refuses.get((request.method, name)):
            return self._refusal(*waits.pop(0))
        if name not in self.tasks:
            return self._refusal(404, "NotFound")
        found = self.tasks[name]
        if request.method == "PATCH":
            patch = json.loads(await request.text())
            if patch["metadata"]["uid"] != found["metadata"]["uid"]:
                return self._refusal(*CONFLICT)
            found["spec"] |= patch["spec"]
            found["status"] = {"observedGeneration": 2}
        return web.json_response(found)

    def _refusal(self, code: int, reason: str) -> web.Response:
        said = self.said or f"because {reason}"
        status = {"kind": "Status", "code": code, "reason": reason, "message": said}
        return web.json_response(status, status=code)


async def ended(server: Server, folder: Path, *tasks: dict[str, Any], seconds: float = 10) -> list[Outcome]:
    """End tasks that were seen."""
    wanted = order("Ended", "because", dry_run=False, within_seconds=seconds)
    async with serving(server.answer, folder) as kubeconfig, session(Where(kubeconfig)) as here:
        return await carry_out(here, wanted, tasks, lambda _: None)


async def agentid(server: Server, folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command; no error but an exit gets out of it."""
    async with serving(server.answer, folder) as kubeconfig:
        told = [*arguments, "--kubeconfig", str(kubeconfig)]
        ended = await asyncio.to_thread(CliRunner().invoke, app, told)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.stdout, ended.stderr


async def test_a_conflict_about_the_task_that_was_meant_is_tried_again(tmp_path: Path) -> None:
    server = Server("one")
    server.refuses["PATCH", "one"] = [CONFLICT]
    (outcome,) = await ended(server, tmp_path, task("one"))
    assert (outcome.result, outcome.message) == (Result.DONE, "")
    assert server.tasks["one"]["spec"]["state"] == "Ended"


@pytest.mark.parametrize("there", [("one",), ()])
async def test_a_conflict_about_another_task_is_told_and_not_tried_again(
    tmp_path: Path, there: tuple[str, ...]
) -> None:
    server = Server(*there)
    server.refuses["PATCH", "one"] = [CONFLICT]
    seen = task("one")
    seen["metadata"]["uid"] = "u-of-the-first"
    (outcome,) = await ended(server, tmp_path, seen)
    assert outcome.result is Result.REFUSED
    assert "AgentTask default/one is another one by now" in outcome.message
    assert server.asked["PATCH"] == 1


@pytest.mark.parametrize(("state", "is_told"), [("Suspended", True), ("Active", False)])
async def test_who_may_not_take_over_a_suspension_is_told_what_ends_the_task(
    tmp_path: Path,
    state: str,
    is_told: bool,  # noqa: FBT001 - a table
) -> None:
    server = Server("one")
    server.tasks["one"] = task("one", state)
    server.refuses["PATCH", "one"] = [(403, "Forbidden")]
    server.said = "ValidatingAdmissionPolicy 'task-resume.agentid.dev' with binding 'b' denied request: no"
    code, _, err = await agentid(server, tmp_path, "suspend", "one", *WHY, "--no-wait")
    assert code == 1
    assert ("`agentid end one -n default --reason …` ends it for good" in err) is is_told


async def test_a_task_that_somebody_ended_is_waited_for_and_not_changed_again(tmp_path: Path) -> None:
    server = Server("one")
    server.tasks["one"] = task("one", "Ended")
    (outcome,) = await ended(server, tmp_path, task("one", "Ended"), seconds=0.1)
    assert outcome.result is Result.UNSETTLED
    assert "no operator has acted on it in 0.1 s" in outcome.message
    assert server.asked["PATCH"] == 0


@pytest.mark.parametrize(
    "refusal", [(401, "Unauthorized"), (403, "Forbidden"), (410, "Expired"), (500, "InternalError")]
)
async def test_who_cannot_look_any_more_is_told_what_was_changed(
    tmp_path: Path, refusal: tuple[int, str]
) -> None:
    server = Server("one", "two")
    server.refuses["GET", "two"] = [refusal] * 100
    one, two = await ended(server, tmp_path, task("one"), task("two"), seconds=0.1)
    assert {one.result, two.result} == {Result.UNSETTLED}
    assert "AgentTask default/two was changed, but what came of it cannot be seen" in two.message
    assert f"because {refusal[1]}" in two.message
    assert {each["spec"]["state"] for each in server.tasks.values()} == {DesiredState.ENDED}


async def test_one_look_that_fails_does_not_end_the_wait(tmp_path: Path) -> None:
    server = Server("one")
    server.refuses["GET", "one"] = [(410, "Expired"), (403, "Forbidden")]
    (outcome,) = await ended(server, tmp_path, task("one"))
    assert outcome.result is Result.DONE


async def test_a_name_that_no_task_has_keeps_none_of_the_others(tmp_path: Path) -> None:
    server = Server("one", "two")
    code, out, err = await agentid(server, tmp_path, "end", "one", "never-was", "agenttask/two", "two", *WHY)
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["one", "ended"],
        ["never-was", "refused"],
        ["two", "ended"],
    ]
    assert "AgentTask default/never-was does not exist" in err
    assert server.asked["PATCH"] == 2


async def test_many_names_are_not_looked_up_all_at_once(tmp_path: Path) -> None:
    names = [f"n-{number}" for number in range(60)]
    server = Server(*names)
    code, _, _ = await agentid(server, tmp_path, "end", *names, *WHY, "--no-wait")
    assert (code, server.asked["PATCH"]) == (0, 60)
    assert server.most_at_once == 16


@pytest.mark.parametrize("name", ["", ".", "..", "agenttask/", "\udcff"])
async def test_what_no_task_can_be_called_is_told(tmp_path: Path, name: str) -> None:
    server = Server("one")
    code, out, err = await agentid(server, tmp_path, "why", name)
    assert (code, out) == (1, "")
    assert "cannot be the name of an AgentTask" in err

    code, out, err = await agentid(server, tmp_path, "end", name, "one", *WHY)
    assert code == 1
    assert "cannot be the name of an AgentTask" in err
    assert out.splitlines()[2].split() == ["one", "ended"]
