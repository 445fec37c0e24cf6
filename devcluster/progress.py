"""Says what is being done: a live line on a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_EVERY_SECONDS = 15.0


class Step:
    """One thing under way; whoever does it says how far it is."""

    def __init__(self, what: str, bar: Progress | None) -> None:
        self._what = what
        self._bar = bar
        self._task = bar.add_task(what, total=None) if bar else None
        self._began = time.monotonic()
        self._said = self._began

    def at(self, done: int, total: int, unit: str) -> None:
        """So many of so many are done; `total` is an upper bound where more may be cached."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)
        self.still(f"{done} of at most {total} {unit}")

    def still(self, detail: str) -> None:
        """Still at it; said at most every quarter of a minute when not on a terminal."""
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self._what}: {detail}")
        elif now - self._said >= PLAIN_EVERY_SECONDS:
            self._said = now
            print(f"  … {self._what}: {detail}, {now - self._began:.0f} s", file=sys.stderr, flush=True)


@contextmanager
def step(what: str) -> Iterator[Step]:
    """Announce a thing, show that it is under way, and say how long it took."""
    console = Console(stderr=True)
    began = time.monotonic()
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            yield Step(what, bar)
        console.print(f"  [green]✓[/] {what} [dim]{time.monotonic() - began:.1f} s[/]", highlight=False)
    else:
        print(f"  {what} …", file=sys.stderr, flush=True)
        yield Step(what, None)
        print(f"  {what}: done in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """One line for the person at the keyboard, apart from what a program would read from stdout."""
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"  {text}")
