"""What is said of a task before its state is set, when the operator has acted, and how it is printed."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from agentid.api.agenttask import DesiredState
from agentid.cli.main import app
from agentid.cli.options import Output
from agentid.cli.orders import Order, Outcome, Result
from agentid.cli.printing import paragraphs, table, told
from agentid.cli.selecting import Selection
from agentid.cli.settling import settled_as
from agentid.cli.states import already
from agentid.cluster.access import current_namespace
from agentid.cluster.errors import ConfigurationError

ACTIVE, SUSPENDED, ENDED = DesiredState.ACTIVE, DesiredState.SUSPENDED, DesiredState.ENDED


def task(state: str = "Active", finished: str | None = None, **metadata: object) -> dict[str, Any]:
    end = {"type": "Finished", "status": "True", "reason": finished, "message": "No rule permits it."}
    conditions = [] if finished is None else [end]
    return {
        "metadata": {"namespace": "support", "name": "one", "uid": "u-1", "generation": 3, **metadata},
        "spec": {
            "state": state,
            "agentRef": {"name": "refund-agent"},
            "requester": {"username": "alice"},
            "stateChangedBy": {"username": "sec@example.com"},
            "onBehalfOf": "carol",
        },
        "status": {"conditions": conditions, "observedGeneration": 3},
    }


def unfollowed(seen: dict[str, Any]) -> dict[str, Any]:
    """The same, before the operator has acted on its last change."""
    return {**seen, "status": {**seen["status"], "observedGeneration": 2}}


def standing(reason: str, approved: str) -> dict[str, Any]:
    """An active task that is not over: whether policy allows it, and what kubectl shows as STATUS."""
    said = {"reason": reason, "message": "No rule permits it."}
    conditions = [
        {"type": "Approved", "status": approved, **said},
        {"type": "Finished", "status": "False", **said},
    ]
    return {**task(), "status": {"conditions": conditions, "observedGeneration": 3}}


@pytest.mark.parametrize(
    ("wanted", "seen", "result", "part"),
    [
        (ENDED, task(), None, ""),
        (ENDED, task("Suspended"), None, ""),
        (ENDED, task("Ended"), Result.UNCHANGED, "support/one has ended already"),
        (ENDED, task(finished="Completed"), Result.UNCHANGED, "has ended already"),
        (ENDED, task(deletionTimestamp="2026-06-03T10:00:00Z"), Result.UNCHANGED, "has ended already"),
        (ENDED, unfollowed(task("Ended")), Result.DONE, "the operator has not acted on it yet"),
        (ENDED, unfollowed(task("Ended", finished="Ended")), Result.UNCHANGED, "has ended already"),
        (SUSPENDED, unfollowed(task("Suspended")), Result.DONE, "the operator has not acted on it yet"),
        (SUSPENDED, unfollowed(task("Ended")), Result.REFUSED, "has ended (state Ended), which is final"),
        (ACTIVE, unfollowed(task()), Result.DONE, "the operator has not acted on it yet"),
        (SUSPENDED, task(), None, ""),
        (SUSPENDED, task("Suspended"), Result.UNCHANGED, "is Suspended already"),
        (SUSPENDED, task("Ended"), Result.REFUSED, "has ended (state Ended), which is final"),
        (SUSPENDED, task(finished="Expired"), Result.REFUSED, "has ended (Expired)"),
        (SUSPENDED, task(deletionTimestamp="2026-06-03T10:00:00Z"), Result.REFUSED, "it is being deleted"),
        (ACTIVE, task("Suspended"), None, ""),
        (ACTIVE, task(), Result.UNCHANGED, "is Active already"),
        (ACTIVE, task("Ended"), Result.REFUSED, "Create a new AgentTask"),
    ],
)
def test_what_is_so_already_or_final_is_not_asked_for(
    wanted: DesiredState, seen: dict[str, Any], result: Result | None, part: str
) -> None:
    said = already(Order(wanted, "because"), seen, "sec@example.com")
    assert (said and said.result) == result
    assert part in (said.message if said is not None else "")


def test_who_set_a_state_that_is_so_already_is_said() -> None:
    seen = task("Suspended")
    seen["spec"] |= {"stateReason": "looks wrong"}
    said = already(Order(SUSPENDED, "because"), seen, "sec@example.com")
    assert said is not None
    assert said.message == "AgentTask support/one is Suspended already, set by sec@example.com: looks wrong"


def test_anothers_suspension_is_not_what_was_asked_for() -> None:
    assert already(Order(SUSPENDED, "because"), task("Suspended"), "on-call@example.com") is None


@pytest.mark.parametrize("wanted", list(DesiredState))
@pytest.mark.parametrize(
    ("observed", "settled"), [(2, False), (None, False), ("3", False), (3, True), (4, True)]
)
def test_the_operator_has_acted_once_it_observed_the_change(
    wanted: DesiredState,
    observed: object,
    settled: bool,  # noqa: FBT001 - a table
) -> None:
    now = task()
    now["status"]["observedGeneration"] = observed
    found = settled_as(wanted, task(), now)
    assert (found == Outcome(now, Result.DONE)) is settled
    assert (found is None) is not settled


@pytest.mark.parametrize("now", [None, task(uid="u-2")])
def test_a_task_that_went_meanwhile_is_settled(now: dict[str, Any] | None) -> None:
    assert settled_as(ENDED, task(), now) == Outcome(task(), Result.DONE, "it is gone")
    for wanted in (ACTIVE, SUSPENDED):
        refused = Outcome(task(), Result.REFUSED, "AgentTask support/one is gone")
        assert settled_as(wanted, task(), now) == refused


@pytest.mark.parametrize(
    ("wanted", "now", "result", "part"),
    [
        (
            ACTIVE,
            task(finished="Revoked"),
            Result.REFUSED,
            "support/one has ended (Revoked): No rule permits",
        ),
        (SUSPENDED, task(finished="Revoked"), Result.REFUSED, "has ended (Revoked): No rule permits it."),
        (SUSPENDED, unfollowed(task(finished="Expired")), Result.REFUSED, "has ended (Expired)"),
        (ACTIVE, task(deletionTimestamp="2026-06-03T10:00:00Z"), Result.REFUSED, "it is being deleted"),
        (ENDED, task(finished="Revoked"), Result.DONE, ""),
        (ACTIVE, standing("AwaitingPolicy", "False"), Result.REFUSED, "waits (AwaitingPolicy): No rule per"),
        (ACTIVE, standing("AwaitingApproval", "False"), Result.REFUSED, "waits (AwaitingApproval): No rule"),
        (ACTIVE, unfollowed(standing("AwaitingPolicy", "False")), None, ""),
        (ACTIVE, standing("AwaitingPod", "True"), Result.DONE, ""),
        (ACTIVE, standing("Running", "True"), Result.DONE, ""),
        (ACTIVE, standing("Running", "False"), Result.DONE, ""),
        (SUSPENDED, standing("Suspended", "False"), Result.DONE, ""),
    ],
)
def test_a_task_that_lost_its_permission_meanwhile_was_not_resumed(
    wanted: DesiredState, now: dict[str, Any], result: Result | None, part: str
) -> None:
    found = settled_as(wanted, task(), now)
    assert (found and found.result) == result
    assert part in (found.message if found is not None else "")


@pytest.mark.parametrize(
    ("selection", "fits"),
    [
        (Selection(agent="refund-agent"), True),
        (Selection(agent="other"), False),
        (Selection(requester="alice"), True),
        (Selection(requester="alic"), False),
        (Selection(delegator="carol"), True),
        (Selection(delegator="alice"), False),
        (Selection(agent="refund-agent", requester="alice", delegator="carol"), True),
        (Selection(agent="refund-agent", requester="bob"), False),
    ],
)
def test_a_task_is_meant_if_all_that_is_said_fits(selection: Selection, fits: bool) -> None:  # noqa: FBT001 - a table
    assert selection.fits(task()) is fits


@pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {"agentRef": 7, "requester": []}}])
def test_an_odd_task_fits_nobody(body: Mapping[str, Any]) -> None:
    assert not Selection(agent="refund-agent").fits(dict(body))


def test_a_table_has_its_columns_below_each_other() -> None:
    assert table(["NAME", "RESULT"], [["a-long-name", "ended"], ["b", ""]]).splitlines() == [
        "NAME          RESULT",
        "a-long-name   ended",
        "b",
    ]


def test_answers_are_json_or_yaml() -> None:
    answer = {"name": "Zoë", "rules": ["a"]}
    assert json.loads(told(answer, Output.JSON)) == answer
    assert told(answer, Output.YAML) == "name: Zoë\nrules:\n- a"


@pytest.mark.parametrize("output", [Output.JSON, Output.YAML])
def test_what_programs_read_cannot_move_the_cursor_or_hide_either(output: Output) -> None:
    odd = "Zoë pays\u009b2J \u202eon\u2028 \x1b[2J and\tmore\n\U000e0041 or \u00a0less 🧾"
    said = told({"purpose": odd, odd: [odd]}, output)
    assert [each for each in said if not each.isprintable() and each != "\n"] == []
    read: Any = json.loads(said) if output is Output.JSON else yaml.safe_load(said)
    assert read == {"purpose": odd, odd: [odd]}


def test_what_others_wrote_cannot_move_the_cursor_or_pose_as_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    paragraphs("x\x1b[2J", "bold", [("to", "[red]a\x07\nb[/red]"), ("to", "c")], Console(width=80))
    assert capsys.readouterr().out.splitlines() == ["x [2J", "  to  [red]a  b[/red]", "      c"]


def test_the_namespace_is_that_of_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    config = tmp_path / "config"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: a, users: [{name: u, user: {}}],"
        " clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], contexts: ["
        " {name: a, context: {cluster: c, user: u, namespace: support}},"
        " {name: b, context: {cluster: c, user: u}}]}"
    )
    assert [current_namespace(config, each) for each in (None, "a", "b")] == ["support", "support", "default"]
    for kubeconfig, context, said in (
        (config, "x", "no context x"),
        (tmp_path / "none", None, "no kubeconfig"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            current_namespace(kubeconfig, context)


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["version"])
    assert (result.exit_code, result.stdout) == (0, "agentid 0.1.0\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    words = {
        "bash": {"COMP_WORDS": "agentid s", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "agentid s"},
        "fish": {"_TYPER_COMPLETE_ARGS": "agentid s", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    result = CliRunner().invoke(
        app, [], env={"_AGENTID_COMPLETE": f"complete_{shell}", **words}, prog_name="agentid"
    )
    assert "suspend" in result.stdout
    assert "resume" not in result.stdout


def test_kubectl_finds_it_as_a_plugin() -> None:
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("kubectl-agentid")), "end"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "Usage: kubectl agentid end" in ended.stderr


def test_the_operators_start_imports_nothing_of_the_other_commands() -> None:
    program = (
        "import sys, agentid.cli.main\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in"
        " {'rich', 'yaml', 'cedarpy', 'pydantic', 'aiohttp', 'kubernetes'}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "[]"
