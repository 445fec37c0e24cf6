"""`agentid doctor` prints what a person reads and what a program reads, and says when it could not look."""

import io
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from agentid.cli.doctor import show, told_as_json
from agentid.doctor.finding import problem, unseen, well

_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""
FINDINGS = [
    well("lease", "It is held."),
    problem("authority", "It is [not] there. " + "word " * 40, "Restore it."),
    unseen("rules", "You may not look.", "Ask somebody."),
]


def _doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentid", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_text_has_a_line_for_each_check_what_to_do_and_a_sum() -> None:
    printed = io.StringIO()
    show(FINDINGS, Console(file=printed, width=100, highlight=False))
    lines = printed.getvalue().splitlines()

    assert lines[0].startswith("✓ OK")
    assert any("→ Restore it." in line for line in lines)
    assert "[not] there" in printed.getvalue()
    assert lines[-1] == "There are problems. 1 OK, 1 Unseen, 1 Problem"
    assert max(map(len, lines)) <= 100


def test_json_has_every_check_and_the_exit_code() -> None:
    told = json.loads(told_as_json(FINDINGS, "0.1.0"))

    assert told["agentid"] == "0.1.0"
    assert told["exitCode"] == 1
    assert [each["standing"] for each in told["checks"]] == ["OK", "Problem", "Unseen"]
    assert told["checks"][1]["remedy"] == "Restore it."


def test_no_api_server_is_told_with_code_2(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(_KUBECONFIG)

    for options in ([], ["--issue", "--namespace", "x"]):
        ended = _doctor("--kubeconfig", str(kubeconfig), *options)
        assert ended.returncode == 2, ended
        assert "Traceback" not in ended.stderr
        assert "could not look" in ended.stderr + ended.stdout

    as_json = _doctor("--kubeconfig", str(kubeconfig), "--output", "json")
    assert as_json.returncode == 2
    assert json.loads(as_json.stdout)["checks"] == []


def test_an_unknown_context_is_told(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(_KUBECONFIG)

    ended = _doctor("--kubeconfig", str(kubeconfig), "--context", "other")

    assert ended.returncode == 2
    assert "other" in ended.stderr
    assert "Traceback" not in ended.stderr
