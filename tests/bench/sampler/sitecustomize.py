"""Samples where the operator's processor time goes, when asked to; found by Python through PYTHONPATH.

The first SIGUSR1 begins, the next writes what was seen since and begins anew. The command line of the
operator stays what it is.
"""

import atexit
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL_SECONDS = 0.001


def _install(folder: Path) -> None:
    seen: Counter[tuple[str, ...]] = Counter()
    names: dict[object, str] = {}
    written = 0

    def sample(_number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            code = frame.f_code
            if code not in names:
                names[code] = f"{code.co_filename}:{code.co_qualname}"
            stack.append(names[code])
            frame = frame.f_back
        seen[tuple(stack)] += 1

    def write(*_: object) -> None:
        nonlocal written
        signal.setitimer(signal.ITIMER_PROF, 0)
        stacks = [[count, list(stack)] for stack, count in seen.items()]
        (folder / f"{written}.json").write_text(json.dumps(stacks))
        written += 1
        seen.clear()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)

    signal.signal(signal.SIGPROF, sample)
    signal.signal(signal.SIGUSR1, write)
    atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)


if os.environ.get("BENCH_PROFILE") and "agentid" in sys.orig_argv:
    _install(Path(os.environ["BENCH_PROFILE"]))
