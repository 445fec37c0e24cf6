"""`agentid audit prove` and `check-proof`: one record with what shows others that it is in the ledger."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import typer
from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.api.ledgerbatch import batch_name
from agentid.cli.audit.evidence import contents, key_of, new_file
from agentid.cli.audit.parcels import BatchObject, SinkLine
from agentid.cli.audit.query import as_json
from agentid.cli.audit.source import Opened, Source, opened, store
from agentid.cli.audit.standing import Place, Placed
from agentid.cli.errors import CommandError, NotThereError, UnusableFileError, finish
from agentid.cli.options import Output
from agentid.cli.printing import paragraphs, printer, told
from agentid.cli.progress import Progress
from agentid.cluster.errors import NotFoundError
from agentid.ledger.batch import Batch
from agentid.ledger.key import LedgerPublicKey
from agentid.ledger.proof import MAX_PROOF_BYTES, Proof
from agentid.ledger.record import Record

_SHOWN: Final = frozenset({"schema", "kind", "at"})


def run(source: Source, place: Place, out: Path | None) -> None:
    """Write the proof of a record into a new file; None: to standard output."""
    finish("audit prove", _prove(source, place, out))


def run_check(file: Path, keys: Sequence[Path], output: Output) -> None:
    """Check a proof: exit code 0 where a key of the caller's signed it, else 1."""
    finish("audit check-proof", _check(file, keys, output))


async def _prove(source: Source, place: Place, out: Path | None) -> int:
    with Progress(time.monotonic()) as progress:
        async with opened(source) as ledger:
            progress.tell(f"looking for batch {place.sequence}")
            found = await _batch(ledger, place)
    proof = Proof.of(Batch.from_spec(found.name, found.spec), place.index)
    with new_file(out) as stream:
        stream.write(proof.to_json())
    if out is not None:
        typer.echo(f"proof of record {place} written to {out}", err=True)
    return 0


async def _batch(ledger: Opened, place: Place) -> BatchObject:
    """Return the batch that a record stands in.

    Raises:
        NotThereError: it is not there.
        UnusableFileError: what is read has no batches.
    """
    name = batch_name(place.sequence)
    if ledger.here is not None:
        try:
            return BatchObject.of(await store(ledger.here, ledger.namespace).read(place.sequence))
        except NotFoundError as error:
            raise NotThereError(
                f"batch {place.sequence} is not in the cluster; if it was pruned, prove it from an export, "
                "with --file"
            ) from error
    async for each in ledger.parcels:
        if isinstance(each, SinkLine):
            raise UnusableFileError(
                "what a sink wrote proves nothing: prove it from an export or the cluster"
            )
        if each.name == name:
            return each
    raise NotThereError(f"batch {place.sequence} is not in what was read")


async def _check(file: Path, keys: Sequence[Path], output: Output) -> int:
    proof = Proof.from_json(contents(file, MAX_PROOF_BYTES))
    trusted = [key_of(each) for each in keys]
    record = _checked(proof, trusted)
    place = Place(proof.batch.sequence, proof.index)
    if output is not Output.TEXT:
        typer.echo(told(_answer(proof, Placed(place, record)), output))
    else:
        _print(proof, Placed(place, record))
    return 0


def _checked(proof: Proof, trusted: Sequence[LedgerPublicKey]) -> Record:
    """Return the record that is proved.

    Raises:
        InvalidProofError: it is not.
        CommandError: the caller trusts no key: everybody can make a proof that agrees with itself.
    """
    proof.record()
    if not trusted:
        raise CommandError(
            "the proof agrees with itself, and anybody can make one that does: give with --key the public "
            f"key {proof.batch.key_id}, if that is the ledger's"
        )
    signer = next((each for each in trusted if each.key_id == proof.batch.key_id), trusted[0])
    return proof.check(signer)


def _print(proof: Proof, placed: Placed) -> None:
    record, batch = placed.record, proof.batch
    rows = [
        ("record", f"{placed.place}, {record.kind} at {format_time(record.at)}"),
        ("signed", f"in batch {batch.sequence} of {format_time(batch.at)}, by key {batch.key_id}"),
        *((name, _text(value)) for name, value in sorted(record.fields.items()) if name not in _SHOWN),
    ]
    paragraphs("The record is in the ledger.", "bold green", rows, printer())


def _text(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _answer(proof: Proof, placed: Placed) -> JsonValue:
    batch = proof.batch
    return {
        "proved": True,
        "record": as_json(placed),
        "batch": {
            "sequence": batch.sequence,
            "hash": batch.head.hash,
            "at": format_time(batch.at),
            "keyID": batch.key_id,
        },
    }
