"""`agentid audit export`: writes batches as they are, one a line, to be verified elsewhere."""

import time
from pathlib import Path
from typing import Final

import orjson
import typer

from agentid.api.ledgerbatch import batch_name
from agentid.cli.audit.evidence import new_file
from agentid.cli.audit.parcels import BatchObject
from agentid.cli.audit.source import Source, opened
from agentid.cli.errors import finish
from agentid.cli.progress import Progress

_EVERY: Final = 20


def run(source: Source, since: int, out: Path | None) -> None:
    """Write the batches from number `since` on into a new file; None: to standard output."""
    finish("audit export", _export(source, since, out))


async def _export(source: Source, since: int, out: Path | None) -> int:
    first, count = batch_name(since), 0
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            with new_file(out) as stream:
                async for each in ledger.parcels:
                    # Evidence is written as it is, whole or not: verify says which.
                    if isinstance(each, BatchObject) and each.name >= first:
                        stream.write(orjson.dumps(each.to_object(), option=orjson.OPT_APPEND_NEWLINE))
                        count += 1
                        if count % _EVERY == 0:
                            progress.tell(f"{count} batches written, up to {each.name}")
    typer.echo(f"{count} batches written{f' to {out}' if out is not None else ''}", err=True)
    return 0
