"""How the demo speaks: numbered acts, what happened, and the figures that were measured."""

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

_INDENT = 5


class Narrator:
    """Writes to the terminal; colour only on a terminal, and never where NO_COLOR is set."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._act = 0

    def title(self, text: str) -> None:
        """Open the demo."""
        self._console.print(Text(text, style="bold"))

    def act(self, text: str) -> None:
        """Begin the next act: one sentence that says what happens."""
        self._act += 1
        self._console.print()
        self._console.print(Text.assemble((f"{self._act}  ", "bold cyan"), (text, "bold")))

    def quote(self, text: str) -> None:
        """Show a line that somebody wrote or could type."""
        self._indented(Text(text, style="dim"))

    def found(self, what: str, figure: str = "") -> None:
        """Tell what was seen, and what was measured of it."""
        self._indented(Text.assemble(("→ ", "green"), what, (f"  {figure}" if figure else "", "green")))

    def refused(self, what: str) -> None:
        """Tell what was refused, as it should be."""
        self._indented(Text.assemble(("✗ ", "yellow"), what))

    def listing(self, text: str, language: str = "yaml") -> None:
        """Show what a command printed, or a manifest."""
        shown: Syntax | Text = Text(text.rstrip())
        if language and self._console.is_terminal:
            shown = Syntax(text.rstrip(), language, background_color="default", word_wrap=True)
        self._indented(shown)

    def closing(self, text: str) -> None:
        """End the demo."""
        self._console.print()
        self._console.print(Text(text))

    def _indented(self, shown: Text | Syntax) -> None:
        self._console.print(Padding(shown, (0, 0, 0, _INDENT)), soft_wrap=True)
