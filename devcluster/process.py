"""One program of a cluster: started with its own log and session, stopped, started again."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from devcluster.errors import ConditionNotMetError, StartError
from devcluster.waiting import wait_until


class Process:
    """A program, by name, that runs until it is stopped.

    It gets a session of its own, so that Ctrl-C at the terminal reaches only who started it, who then ends
    things in order.

    Attributes:
        name: What it is called in messages.
        log: Where its output goes; kept over restarts.
    """

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            StartError: It was never started.
        """
        if self._running is None:
            raise StartError(f"{self.name} was never started")
        return self._running.pid

    def alive(self) -> bool:
        """Has it been started and not ended?"""
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Start it (again), with the same command line."""
        if self.alive():
            raise StartError(f"{self.name} runs already, as process {self.pid}")
        with self.log.open("ab") as log:
            self._running = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP and SIGCONT to let it hang for a while."""
        if self.alive():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, as kill -9 does, and see it gone."""
        self.signal(signal.SIGKILL)
        if self._running is not None:
            self._running.wait()

    def terminate(self, within: timedelta = timedelta(seconds=30)) -> int:
        """Ask it to end and wait for that.

        Returns:
            Its exit code; negative is the signal that ended it.

        Raises:
            ConditionNotMetError: It did not end in time; it was killed then.
        """
        self.signal(signal.SIGTERM)
        return self.ended(within)

    def ended(self, within: timedelta = timedelta(seconds=30)) -> int:
        """Wait until it ends of itself, or because it was asked to before; returns and raises as `terminate`.

        One that is asked twice may hear of it when it listens no more, and then ends by the signal.
        """
        if self._running is None:
            return 0
        try:
            return self._running.wait(within.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()
            raise ConditionNotMetError(
                f"{self.name} did not end within {within.total_seconds():g} s of SIGTERM; "
                f"the end of {self.log}:\n{self.log_tail()}"
            ) from None

    def wait_ready(self, ready: Callable[[], bool], within: timedelta = timedelta(seconds=60)) -> None:
        """Wait until it is ready.

        Raises:
            StartError: It ended, or was not ready in time; the message holds the end of its log.
        """
        try:
            wait_until(f"{self.name} is ready", lambda: not self.alive() or ready(), within=within)
        except ConditionNotMetError as late:
            raise StartError(f"{late}; the end of {self.log}:\n{self.log_tail()}") from None
        if not self.alive():
            code = self._running.returncode if self._running else None
            raise StartError(f"{self.name} ended with {code}; the end of {self.log}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that it wrote."""
        if not self.log.exists():
            return "(no output)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) or "(no output)"
