"""Runs the folders of tests in turn and prints how long each took; stops at the first that fails."""

import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

TESTS = Path(__file__).parent
OPTIONS = {
    # They mostly wait: several processes, each with a control plane of its own, share the modules.
    "cluster": ["--numprocesses=3", "--dist=loadfile", "--durations=20"],
}


def main(arguments: list[str]) -> int:
    """Run `pytest tests/<stage>` for each stage named before `--`; what follows `--` goes to pytest."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    stages, options = arguments[:split], arguments[split + 1 :]
    console = Console(highlight=False)
    for stage in stages:
        began = time.monotonic()
        command = [sys.executable, "-m", "pytest", str(TESTS / stage), *OPTIONS.get(stage, []), *options]
        outcome = subprocess.run(command, check=False, cwd=TESTS.parent)
        console.print(f"[bold]{stage}[/bold]: {time.monotonic() - began:.0f} s")
        if outcome.returncode:
            return outcome.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
