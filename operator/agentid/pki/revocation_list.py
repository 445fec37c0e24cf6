"""What is revoked and not past yet, when the next CRL is due, and what it says: without a key or a clock."""

import heapq
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agentid.pki.revocation import RevokedEntry

MAX_ENTRIES: Final = 64_000
"""Of at most 55 bytes each. More is not revoked at once: who signs them does nothing else meanwhile."""
MAX_ENTRIES_IN_CLUSTER: Final = 16_000
"""So that a CRL of them is below 900 KiB: what one ConfigMap holds."""
GATHER: Final = timedelta(seconds=1)
"""A CRL is made at most so often; what is revoked meanwhile is in the next one."""
REFRESH: Final = timedelta(minutes=5)
"""A CRL is made at least so often, though nothing changes."""
LIFETIME: Final = timedelta(minutes=15)
"""How long after it was made a CRL counts: then verifiers that ask for one accept nothing."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What one CRL says.

    Attributes:
        entries: What it revokes.
        made_at: When it was put together.
        next_update: When the next one is out at the latest.
        incomplete_until: There was more than fits; until then something is missing. None: it is whole.
    """

    entries: tuple[RevokedEntry, ...]
    made_at: datetime
    next_update: datetime
    incomplete_until: datetime | None

    def cut(self, max_entries: int) -> "Edition":
        """Return it with so many entries at the most: those that end first are left out."""
        if len(self.entries) <= max_entries:
            return self
        by_end = sorted(self.entries, key=lambda entry: entry.not_after)
        left_out_until = by_end[-max_entries - 1].not_after
        return replace(
            self,
            entries=tuple(by_end[-max_entries:]),
            incomplete_until=max(self.incomplete_until or left_out_until, left_out_until),
        )


class RevocationList:
    """All that is revoked, by serial number, until it was in a CRL of a time past its end (RFC 5280 §3.3).

    Where there is more than fits, those that end first are left out.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries: dict[str, RevokedEntry] = {}
        self._by_end: list[tuple[datetime, str]] = []
        self._incomplete_until: datetime | None = None
        self._changed_at: datetime | None = None
        self._under_way: datetime | None = None
        self._made_at: datetime | None = None
        self._published_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: RevokedEntry, now: datetime) -> None:
        """Take in what is revoked. The first word counts; later only that it ends earlier may be learned.

        What ended so long ago that no peer takes it is not taken in.
        """
        known = self._entries.get(entry.serial)
        if known is not None:
            if entry.not_after < known.not_after:
                self._keep(replace(known, not_after=entry.not_after))
            return
        if entry.not_after < now - LIFETIME:
            return
        self._keep(entry)
        if len(self._entries) > self._max_entries:
            self._leave_out_the_first_to_end()
        if entry.serial in self._entries:
            self._changed_at = self._changed_at or now

    def due_at(self) -> datetime | None:
        """Return when the next CRL is to be made; None: at once, as none is out or the last try failed."""
        if self._made_at is None:
            return None
        if self._changed_at is not None:
            return max(self._changed_at, self._made_at + GATHER)
        return self._made_at + REFRESH

    def lag(self, now: datetime) -> timedelta:
        """Return for how long something has been revoked that no published CRL says."""
        since = self._under_way or self._changed_at
        return max(now - since, timedelta(0)) if since is not None else timedelta(0)

    def age(self, now: datetime) -> timedelta:
        """Return how old the published CRL is; nothing where none was published."""
        at = self._published_at
        return max(now - at, timedelta(0)) if at is not None else timedelta(0)

    def begin_edition(self, now: datetime) -> Edition:
        """Return what a CRL says that is made now; `published` or `failed` has to follow."""
        if self._incomplete_until is not None and self._incomplete_until < now - LIFETIME:
            self._incomplete_until = None
        self._under_way = self._under_way or self._changed_at
        self._changed_at, self._made_at = None, now
        return Edition(tuple(self._entries.values()), now, now + LIFETIME, self._incomplete_until)

    def published(self, edition: Edition, this_update: datetime) -> None:
        """Note that `edition` is out, in a CRL of the time `this_update`: what was past then was said."""
        self._under_way, self._published_at = None, edition.made_at
        said = {entry.serial for entry in edition.entries}
        while self._by_end and self._by_end[0][0] < this_update:
            not_after, serial = self._by_end[0]
            entry = self._entries.get(serial)
            if entry is not None and entry.not_after == not_after:
                if serial not in said:
                    break
                del self._entries[serial]
            heapq.heappop(self._by_end)

    def failed(self) -> None:
        """Note that the edition under way is not out: the next one is due."""
        self._changed_at, self._under_way = self._under_way or self._changed_at, None
        self._made_at = None

    def _keep(self, entry: RevokedEntry) -> None:
        self._entries[entry.serial] = entry
        heapq.heappush(self._by_end, (entry.not_after, entry.serial))

    def _leave_out_the_first_to_end(self) -> None:
        while True:
            not_after, serial = heapq.heappop(self._by_end)
            entry = self._entries.get(serial)
            if entry is not None and entry.not_after == not_after:
                break
        del self._entries[serial]
        self._incomplete_until = max(self._incomplete_until or not_after, not_after)
