"""Where an extra is not installed, the command names it instead of showing a traceback."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("missing", "command", "extra"),
    [
        ("typer", "version", "operator"),
        ("typer", "version", "cli"),
        ("uvloop", "operator", "operator"),
        ("typer", "operator", "operator"),
        ("aiohttp", "doctor", "cli"),
    ],
)
def test_a_missing_extra_is_named(missing: str, command: str, extra: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['agentid', {command!r}]\n"
        "from agentid.__main__ import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert f"{missing} is not installed; in a checkout of agentid's repository" in ended.stderr
    assert f"`pip install '.[{extra}]'`" in ended.stderr
    assert "The agentid on PyPI is another project" in ended.stderr
