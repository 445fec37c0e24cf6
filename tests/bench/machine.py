"""Says what was measured on: processors, memory, versions, and how much else was going on."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Self

from tests.bench.figures import TIMES

_PACKAGES = ("kopf", "aiohttp", "uvloop", "orjson", "pydantic", "cryptography")
_QUIET_LOAD = 0.7


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine at the beginning of a run."""

    began: datetime
    processors: str
    memory: str
    kernel: str
    software: str
    load: float

    @classmethod
    def look(cls) -> Self:
        """Look at this machine as it is now."""
        cpu = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in cpu if line.startswith("model name")), "?")
        total = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
        packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
        return cls(
            began=datetime.now(UTC),
            processors=f"{os.cpu_count()} {TIMES} {model}",
            memory=f"{total:.0f} GiB",
            kernel=platform.release(),
            software=f"agentid {version('agentid')}, Python {platform.python_version()}, {packages}",
            load=os.getloadavg()[0],
        )

    @property
    def quiet(self) -> str:
        """Whether anything else was at work when the run began."""
        what = "nothing else was" if self.load < _QUIET_LOAD else "the machine was NOT quiet: other work was"
        return f"{what} under way when it began (load {self.load:.2f})"
