"""Ledgers in files, and `agentid audit` over them, for the tests of that command."""

from collections.abc import Iterable
from pathlib import Path

import orjson
from typer.testing import CliRunner

from agentid.cli.audit.parcels import BatchObject
from agentid.cli.main import app
from agentid.controller.ledger_followers import delivered
from agentid.ledger.batch import Batch
from agentid.sinks.segment_file import lines_of as lines_of_segment

WAITED = {
    "namespace": "support",
    "task": "refund-4711",
    "agent": "refund-agent",
    "requester": "system:serviceaccount:support:orchestrator",
    "delegator": "carol@example.com",
    "actions": ["refunds:create"],
    "sensitivity": "Confidential",
    "spec_hash": "v1:a",
}
"""What the records of a task say of what it asked for."""


def lines_of(batches: Iterable[Batch]) -> bytes:
    """As `agentid audit export` writes them."""
    objects = (BatchObject(each.name, each.to_spec()).to_object() for each in batches)
    return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects)


def segment_of(batches: Iterable[Batch]) -> bytes:
    """As a sink of segments writes them."""
    return b"".join(lines_of_segment(delivered(batch), batch.sequence) for batch in batches)


def written(folder: Path, content: bytes, name: str = "ledger.jsonl") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def audit(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, str, str]:
    """Run a command; no error but an exit gets out of it."""
    return agentid("audit", *arguments, stdin=stdin)


def agentid(*arguments: str | Path, stdin: bytes | None = None) -> tuple[int, str, str]:
    """The same of any command."""
    # Without a home there is no cluster that a test could ask by mistake.
    environment = {"COLUMNS": "200", "KUBECONFIG": "/nonexistent", "HOME": "/nonexistent"}
    ended = CliRunner().invoke(app, [str(each) for each in arguments], input=stdin, env=environment)
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.stdout, ended.stderr
