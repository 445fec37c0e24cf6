"""Waits beside a run for its owner's death, and ends the run then: `python -m devcluster.keeper FOLDER`."""

import signal
import sys
from pathlib import Path

from devcluster.run import DETACH, end_if_dead


def main() -> None:
    """Read from the owner until it says something or is gone."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    if sys.stdin.buffer.read() != DETACH and folder.exists():
        end_if_dead(folder, wait=True)


if __name__ == "__main__":
    main()
