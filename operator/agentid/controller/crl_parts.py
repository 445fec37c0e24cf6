"""Publishes the parts of CRLs that are too large for one ConfigMap, and none in place of those that count."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import structlog

from agentid.api.names import CRL_PART_CONFIG_MAPS
from agentid.cluster.config_maps import ConfigMap, ConfigMaps
from agentid.pki.crl_parts import CRL_KEY, PART_KEY, Part, WholeCrl, sha256
from agentid.pki.errors import RevocationListError

_log = structlog.get_logger("agentid.crl")

_NO_PART: Final = ""


class CrlParts:
    """The ConfigMaps with parts, as they were read or written.

    A part is known by its bytes: one that the next CRL has too, or another issuer's, is not written again.
    """

    def __init__(self, config_maps: ConfigMaps) -> None:
        self._config_maps = config_maps
        self._there: dict[str, tuple[ConfigMap, str]] | None = None

    def forget(self) -> None:
        """Have them read again: another operator may have written since."""
        self._there = None

    async def read(self) -> dict[str, bytes]:
        """Return the parts that there are, by name.

        Raises:
            ApiAnswerError: the API server did not say.
        """
        there = await self._known()
        return {name: found.binary.get(PART_KEY, b"") for name, (found, _) in there.items()}

    async def put(self, pieces: Sequence[bytes], number: int, in_use: Collection[str]) -> tuple[Part, ...]:
        """Have each of `pieces` in a part, and return where.

        None of those `in_use` is written over, as long as these are those of one CRL: there is room for two.

        Raises:
            ApiAnswerError: the API server did not do it, or did not say.
            NotLeadingError: this operator may not write.
        """
        there = await self._known()
        by_digest = {digest: name for name, (_, digest) in there.items()}
        digests = [sha256(each) for each in pieces]
        kept = {by_digest[each] for each in digests if each in by_digest}
        others = [name for name in CRL_PART_CONFIG_MAPS if name not in kept]
        free = iter(sorted(others, key=lambda name: name in in_use))
        for piece, digest in zip(pieces, digests, strict=True):
            if digest in by_digest:
                continue
            name = next(free)
            known = there.get(name)
            written = await self._config_maps.write(
                name,
                known[0] if known else None,
                {"number": str(number), "sha256": digest},
                {PART_KEY: piece},
            )
            there[name], by_digest[digest] = (written, digest), name
        return tuple(Part(name=by_digest[each], sha256=each) for each in digests)

    async def keep_only(self, names: Collection[str]) -> None:
        """Remove all parts but those of these names.

        Raises:
            ApiAnswerError: the API server did not do it, or did not say.
            NotLeadingError: this operator may not write.
        """
        there = await self._known()
        for name in there.keys() - set(names):
            await self._config_maps.delete(name, there[name][0])
            del there[name]

    async def _known(self) -> dict[str, tuple[ConfigMap, str]]:
        """Return each part that is there, with the digest of its bytes."""
        if self._there is None:
            there = {}
            for name in CRL_PART_CONFIG_MAPS:
                if (found := await self._config_maps.read(name)) is not None:
                    there[name] = found, _digest(found)
            self._there = there
        return self._there


def _digest(found: ConfigMap) -> str:
    part = found.binary.get(PART_KEY)
    return sha256(part) if part else _NO_PART


def whole_in(found: ConfigMap, parts: Mapping[str, bytes]) -> bytes:
    """Return the CRL in a ConfigMap with its parts; where those do not make one, what is in it alone."""
    try:
        whole = WholeCrl.read(found.data, found.binary)
        return found.binary[CRL_KEY] if whole is None else whole.put_together(parts)
    except RevocationListError as error:
        _log.warning("crl parts not taken in", error=str(error))
        return found.binary[CRL_KEY]


def parts_named_in(found: ConfigMap | None) -> frozenset[str]:
    """Return the names of the parts that the ConfigMap of a CRL names."""
    try:
        whole = WholeCrl.read(found.data, found.binary) if found is not None else None
    except RevocationListError:
        return frozenset()
    return frozenset(each.name for each in whole.parts) if whole is not None else frozenset()
