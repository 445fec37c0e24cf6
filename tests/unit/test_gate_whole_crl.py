"""A CRL in parts, as the decision point serves it: whole, or not at all, and never parts of two."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from agentid.api.names import CRL_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMap, ConfigMaps
from agentid.gate.published_crl import Crl, Document, Withheld, crl_in
from agentid.gate.whole_crl import WholeCrls
from agentid.pki.crl_parts import WHOLE_KEY
from agentid.pki.revocation_list import LIFETIME
from tests.unit.test_controller_crl_parts import OVER, entries, named, names_kept, publish, whole
from tests.unit.test_controller_revocations import AUTHORITY, NOW, Scene, logged, running, scene
from tests.unit.test_gate_public import get, serving

__all__ = ("scene",)


class Point:
    """What a decision point has of the CRL, and the reads that it took; `hold` keeps them waiting."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.reads: list[str] = []
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.seconds = 0.0
        self._config_maps = ConfigMaps(scene.connection, "agentid-system", lambda: 0.0)
        self.wholes = WholeCrls(self._read, lambda: self.seconds)

    async def _read(self, name: str) -> ConfigMap | None:
        await self.may_read.wait()
        self.reads.append(name)
        return await self._config_maps.read(name)

    def published(self) -> Crl:
        found = crl_in(self.scene.server.kept[CRL_CONFIG_MAP])
        assert found is not None
        return found

    def look(self) -> None:
        """See what is published, as its watch would."""
        self.wholes.follow(self.published())

    def served(self) -> Document | Withheld:
        return self.wholes.served(self.published(), self.scene.now)

    async def until_served(self) -> Document:
        """Wait until what is published is what is served."""
        published = self.published().whole
        await self.scene.until(lambda: getattr(self.served(), "tag", "") == (published and published.sha256))
        served = self.served()
        assert isinstance(served, Document)
        return served


@asynccontextmanager
async def at_work(scene: Scene) -> AsyncIterator[Point]:
    point = Point(scene)
    task = asyncio.create_task(point.wholes.run())
    try:
        yield point
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


MANY = entries(OVER)


def number(document: Document) -> int:
    crl = x509.load_der_x509_crl(document.content)
    assert crl.is_signature_valid(AUTHORITY.intermediate_key.public_key())
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def shown(folder: Path, crl: bytes) -> str:
    """What OpenSSL reads in it."""
    (folder / "crl.der").write_bytes(crl)
    command = ["openssl", "crl", "-inform", "DER", "-in", "crl.der", "-noout", "-text"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


async def test_the_whole_is_served_and_parts_that_it_has_already_are_not_read_again(
    scene: Scene, tmp_path: Path
) -> None:
    async with running(scene.revocations), at_work(scene) as point:
        await publish(scene, MANY)
        assert point.served() == Withheld(
            f"the CRL of {AUTHORITY.key_id} is in parts, which are not put together yet"
        )
        point.look()
        first = await point.until_served()
        assert sorted(point.reads) == sorted(named(scene))
        assert shown(tmp_path, first.content).count("Serial Number:") == OVER

        parts = named(scene)
        scene.now += timedelta(seconds=2)
        point.reads.clear()
        scene.revocations.add(*entries(10))
        await scene.until(lambda: named(scene) != parts and named(scene) == names_kept(scene))
        point.look()
        second = await point.until_served()
        assert number(second) > number(first)
        assert set(point.reads) <= named(scene) - parts


async def test_the_former_one_stays_while_the_next_is_read_and_a_mix_is_never_served(scene: Scene) -> None:
    async with running(scene.revocations), at_work(scene) as point:
        await publish(scene, MANY)
        point.look()
        former = await point.until_served()
        old = point.published()

        # It has seen that there is another one, whose parts are replaced once more before it has read them.
        point.may_read.clear()
        for _ in range(2):
            scene.now += timedelta(seconds=2)
            before = scene.number()
            scene.revocations.add(*entries(OVER // 4))
            await scene.until(
                lambda before=before: scene.number() > before and named(scene) == names_kept(scene)
            )
            if point.wholes.behind_seconds() == 0:
                point.seconds = 100.0
                point.look()
                point.seconds = 107.0
        assert point.served() == former
        assert point.wholes.behind_seconds() == 7
        point.may_read.set()
        with logged("crl not put together") as told:
            await scene.until(lambda: point.reads)
            await asyncio.sleep(0.2)
            assert point.wholes.served(old, scene.now) == former
            assert point.wholes.behind_seconds() == 7
            point.look()
            latest = await point.until_served()
        assert len(told) == 1
        assert point.wholes.behind_seconds() == 0
    assert latest.content != former.content
    assert number(latest) == whole(scene).number
    assert len(x509.load_der_x509_crl(latest.content)) == OVER + 2 * (OVER // 4)


async def test_killed_between_parts_the_former_is_served_until_it_counts_no_more(scene: Scene) -> None:
    async with at_work(scene) as point:
        async with running(scene.revocations):
            await publish(scene, MANY)
            point.look()
            former = await point.until_served()
            scene.server.writes_left = 1
            scene.now += timedelta(seconds=2)
            scene.revocations.add(*entries(OVER))
            await scene.until(lambda: scene.revocations._failures)  # noqa: SLF001
        assert point.served() == former
        # One that starts only now finds all that it takes too.
        async with at_work(scene) as late:
            late.look()
            assert await late.until_served() == former

        scene.now = NOW + LIFETIME
        assert point.served() == Withheld(
            f"the last whole CRL of {AUTHORITY.key_id} counted until 2026-11-23T12:15:00Z"
        )


async def test_a_part_that_is_gone_or_another_is_waited_for_and_nothing_is_served_meanwhile(
    scene: Scene,
) -> None:
    async with running(scene.revocations):
        await publish(scene, MANY)
    first, second, *_ = sorted(named(scene))
    gone = scene.server.kept.pop(first)
    scene.server.kept[first] = {**scene.server.kept[second], "metadata": gone["metadata"]}
    with logged("crl not put together", "crl put together again") as told:
        async with at_work(scene) as point:
            point.look()
            await scene.until(lambda: len(point.reads) > len(named(scene)))
            assert isinstance(point.served(), Withheld)
            del scene.server.kept[first]
            await scene.until(lambda: len(point.reads) > 3 * len(named(scene)))
            assert isinstance(point.served(), Withheld)
            scene.server.kept[first] = gone
            await point.until_served()
    assert [each["event"] for each in told] == ["crl not put together", "crl put together again"]
    assert "another CRL" in told[0]["error"]


async def test_where_it_fits_into_one_again_that_is_served(scene: Scene) -> None:
    async with running(scene.revocations), at_work(scene) as point:
        await publish(scene, MANY)
        point.look()
        await point.until_served()
        body: dict[str, Any] = scene.server.kept[CRL_CONFIG_MAP]
        fits = {**body, "data": {key: each for key, each in body["data"].items() if key != WHOLE_KEY}}
        published = crl_in(fits)
        assert published is not None
        point.wholes.follow(published)
        assert point.wholes.served(published, scene.now) == published.document
        # Nothing is left of what was put together: another time it is read anew.
        assert isinstance(point.served(), Withheld)


@pytest.mark.parametrize("said", ["", "{}", "null", '{"number":1,"entries":1,"sha256":"x","parts":[]}'])
async def test_parts_that_are_not_understood_are_not_taken_for_none(scene: Scene, said: str) -> None:
    async with running(scene.revocations):
        scene.revocations.load(())
        await scene.until(lambda: CRL_CONFIG_MAP in scene.server.kept)
    scene.server.kept[CRL_CONFIG_MAP]["data"][WHOLE_KEY] = said
    async with at_work(scene) as point:
        point.look()
        await asyncio.sleep(0.05)
        assert isinstance(point.served(), Withheld)


class Withholding:
    """Documents that there are, and that cannot be served."""

    def crl(self, issuer: str | None = None) -> Withheld:
        return Withheld(f"the CRL of {issuer or 'aa'} counted until 2026-11-23T12:15:00Z")


async def test_what_cannot_be_served_is_503_with_the_reason_and_kept_by_no_cache() -> None:
    async with serving(Withholding()) as url:
        for path, issuer in (("/crl.der", "aa"), ("/crl/bb.crl", "bb")):
            status, content, headers = await get(f"{url}{path}", If_None_Match="*")
            assert status == 503
            said = f"the CRL of {issuer} counted until 2026-11-23T12:15:00Z"
            assert json.loads(content) == {"message": said}
            assert (headers["Cache-Control"], headers["Retry-After"]) == ("no-store", "2")
