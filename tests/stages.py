"""Runs folders or modules of tests in turn and prints how long each took; stops at the first that fails."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from tests.fault_table import record_whole

TESTS = Path(__file__).parent
OPTIONS = {
    "unit": ["--numprocesses=2"],
    "component": ["--numprocesses=2"],
    # They mostly wait: several processes, each with a control plane of its own, share the modules.
    "cluster": ["--numprocesses=3", "--dist=loadfile", "--durations=20"],
}


def main(arguments: list[str]) -> int:
    """Run `pytest tests/<stage>` for each stage named before `--`; what follows `--` goes to pytest.

    With such options a stage may have no test that they select, if another one has.
    """
    split = arguments.index("--") if "--" in arguments else len(arguments)
    stages, options = arguments[:split], arguments[split + 1 :]
    console = Console(highlight=False)
    code: int = pytest.ExitCode.NO_TESTS_COLLECTED
    for stage in stages:
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", str(TESTS / stage), *OPTIONS.get(stage, []), *options]
        outcome = subprocess.run(command, check=False, cwd=TESTS.parent)
        console.print(f"[bold]{stage}[/bold]: {time.monotonic() - began:.0f} s")
        if options and outcome.returncode == pytest.ExitCode.NO_TESTS_COLLECTED:
            continue
        if outcome.returncode:
            return outcome.returncode
        code = 0
        if not options:
            record_whole(stage)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
