"""Says on standard error what makes doubtful what a command tells of a ledger."""

import typer

from agentid.api.fields import format_time
from agentid.cli.audit.reading import Reading
from agentid.cli.errors import REFUSED
from agentid.cli.printing import shown


def notes_of(reading: Reading) -> list[str]:
    """Return, once all is read, what is not as it should be or not here."""
    summary, _ = reading.finish()
    said = [str(each) for each in reading.doubts]
    if reading.further_doubts:
        said.append(f"{reading.further_doubts} more; agentid audit verify tells them all")
    if summary.first > 1:
        said.append(f"what came before batch {summary.first} is not here; sinks may have it")
    if reading.is_sinks:
        said.append("this is what a sink wrote: nothing of it is signed")
    return said


def tell(reading: Reading, notes: list[str]) -> int:
    """Print them, and return the exit code: 1 where the ledger was tampered with."""
    for each in notes:
        typer.echo(f"note: {shown(each)}", err=True)
    return REFUSED if reading.doubts else 0


def until_told(reading: Reading) -> str:
    """Return up to when the ledger goes."""
    return f"by {format_time(reading.ends)}" if reading.ends is not None else "in an empty ledger"
