"""Checks decision points' logs: each line has the hash of the one before, and the ledger has some of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from agentid.ledger.canonical import Value, decode
from agentid.ledger.decisions import Report
from agentid.ledger.digests import digest_of
from agentid.ledger.errors import InvalidRecordError

LINE_SCHEMA: Final = "agentid.dev/decision/v1"
_is_name: Final = re.compile(r"[0-9a-f]{32}").fullmatch


@dataclass(slots=True)
class CheckedLog:
    """One log, as far as it was given.

    Attributes:
        name: Its name.
        replica: The pod that wrote it, as it says itself.
        first: Number of its first line that was given; older files may be gone.
        last: That of the last one.
        head: The hash of that.
        lost: How many lines it says there was no room for.
        agreed: How many of its lines the ledger has the hash of, and the same.
        findings: What is wrong with it.
    """

    name: str
    replica: str
    first: int
    last: int = 0
    head: str = ""
    lost: int = 0
    agreed: int = 0
    findings: list[str] = field(default_factory=list)


class LogCheck:
    """The logs in some files, whose lines come in their order."""

    def __init__(self, reports: Iterable[Report] = ()) -> None:
        """Begin; `reports` is what the ledger has of them."""
        self._heads: dict[str, dict[int, str]] = {}
        for each in reports:
            if each.through is not None and each.head is not None:
                self._heads.setdefault(each.log, {})[each.through] = each.head
        self.logs: dict[str, CheckedLog] = {}
        self.findings: list[str] = []
        """What is wrong with lines that are of no log."""

    def feed(self, line: bytes) -> None:
        """Take the next line, without its end."""
        try:
            fields = decode(line)
        except InvalidRecordError as error:
            self.findings.append(f"a line {error}")
            return
        name, sequence = fields.get("log"), fields.get("sequence")
        is_line = fields.get("schema") == LINE_SCHEMA and isinstance(name, str) and _is_name(name)
        if not is_line or not isinstance(name, str) or not isinstance(sequence, int) or sequence < 1:
            self.findings.append("a line is not of a decision point's log")
            return
        log = self.logs.get(name) or self._begun(name, str(fields.get("replica", "")), sequence)
        self._take(log, fields, sequence, digest_of(line))

    def _begun(self, name: str, replica: str, sequence: int) -> CheckedLog:
        log = CheckedLog(name, replica, sequence)
        if self.logs and sequence != 1:
            # Files that are gone are older than all that are there.
            log.findings.append(
                f"it begins with line {sequence}, though older lines of another log are there"
            )
        self.logs[name] = log
        return log

    def finish(self) -> list[CheckedLog]:
        """Return what was found of each log; one that the ledger tells more of ends too early."""
        for name, log in self.logs.items():
            told = max(self._heads.get(name, {0: ""}))
            if told > log.last:
                log.findings.append(
                    f"it ends with line {log.last}, and the ledger has the hash of line {told}"
                )
        return list(self.logs.values())

    def _take(self, log: CheckedLog, fields: dict[str, Value], sequence: int, digest: str) -> None:
        if log.last and sequence != log.last + 1:
            log.findings.append(f"line {sequence} comes after line {log.last}")
        elif log.last and fields.get("previous") != log.head:
            log.findings.append(
                f"line {sequence} follows another line than the one before it: one was changed"
            )
        known = self._heads.get(log.name, {}).get(sequence)
        if known == digest:
            log.agreed += 1
        elif known is not None:
            log.findings.append(f"line {sequence} is not the one whose hash the ledger has")
        count = fields.get("count")
        if fields.get("kind") == "lost" and isinstance(count, int):
            log.lost += count
        log.last, log.head = sequence, digest
