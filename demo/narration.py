"""How the demo speaks: acts of numbered scenes, what happened, and the figures that were measured."""

from rich.console import Console
from rich.text import Text

_INDENT = " " * 5


class Narrator:
    """Writes to the terminal; colour only on a terminal, and never where NO_COLOR is set."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._scene = 0

    def title(self, text: str) -> None:
        """Open the demo."""
        self._line(Text(text, style="bold"))

    def act(self, text: str) -> None:
        """Begin the next act; its scenes go on being counted."""
        self._console.print()
        self._line(Text(text, style="bold"))

    def scene(self, text: str) -> None:
        """Begin the next scene: one sentence that says what happens."""
        self._scene += 1
        self._console.print()
        self._line(Text.assemble((f"{self._scene:<3}", "bold cyan"), (text, "bold")))

    def quote(self, text: str) -> None:
        """Show a line that somebody wrote or could type."""
        self._indented(Text(text, style="dim"))

    def found(self, what: str, figure: str = "") -> None:
        """Tell what was seen, and what was measured of it."""
        self._indented(Text.assemble(("→ ", "green"), what, (f"  {figure}" if figure else "", "green")))

    def refused(self, what: str) -> None:
        """Tell what was refused, as it should be."""
        self._indented(Text.assemble(("✗ ", "yellow"), what))

    def listing(self, text: str) -> None:
        """Show what a command printed."""
        for line in text.rstrip().splitlines():
            self._indented(Text(line))

    def closing(self, text: str) -> None:
        """End the demo."""
        self._console.print()
        self._line(Text(text))

    def _indented(self, shown: Text) -> None:
        line = Text.assemble(_INDENT, shown)
        line.rstrip()
        self._line(line)

    def _line(self, shown: Text) -> None:
        # What is told is copied and searched for: a line is never broken or cut.
        self._console.print(shown, soft_wrap=True)
