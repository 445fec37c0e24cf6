"""A CRL that is too large for one ConfigMap: what is published of it, when, and what a crash leaves."""

import secrets
from base64 import b64decode
from datetime import timedelta

import pytest

from agentid.api.names import CRL_CONFIG_MAP, CRL_PART_CONFIG_MAPS, PREVIOUS_CRL_CONFIG_MAP
from agentid.gate.published_crl import crl_in
from agentid.pki.authority import CertificateAuthority
from agentid.pki.crl import PublishedCrl, read_crl
from agentid.pki.crl_parts import CRL_KEY, PART_KEY, WholeCrl
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import MAX_ENTRIES, MAX_ENTRIES_IN_CLUSTER, REFRESH
from tests.unit.test_controller_revocations import (
    AUTHORITY,
    END,
    NOW,
    RENEWED,
    SUPERSEDED,
    Scene,
    logged,
    running,
    scene,
)

__all__ = ("scene",)
DAY = timedelta(days=1)


def entries(number: int, end: timedelta = timedelta(0)) -> list[RevokedEntry]:
    """So many, each of which ends a millisecond after the one before, from END + `end` on."""
    return [
        RevokedEntry(
            f"{secrets.randbits(126) | 1 << 126:x}", NOW, END + end + timedelta(milliseconds=each), SUPERSEDED
        )
        for each in range(number)
    ]


OVER = MAX_ENTRIES_IN_CLUSTER + 4000
MANY = entries(OVER)


def parts_kept(scene: Scene) -> dict[str, bytes]:
    return {
        name: b64decode(body["binaryData"][PART_KEY])
        for name, body in scene.server.kept.items()
        if name in CRL_PART_CONFIG_MAPS
    }


def whole(scene: Scene, name: str = CRL_CONFIG_MAP, issuer: CertificateAuthority = AUTHORITY) -> PublishedCrl:
    """The whole CRL, as who reads the ConfigMaps puts it together; it is signed as it is."""
    published = crl_in(scene.server.kept[name])
    assert published is not None
    assert published.whole is not None
    return read_crl(published.whole.put_together(parts_kept(scene)), issuer, longest_life=DAY)


def said(scene: Scene) -> WholeCrl | None:
    """What is said of the whole CRL; None: of none that is in parts."""
    kept = scene.server.kept.get(CRL_CONFIG_MAP)
    return WholeCrl.read(kept["data"], {}) if kept is not None else None


def named(scene: Scene) -> set[str]:
    found = said(scene)
    return {each.name for each in found.parts} if found is not None else set()


def names_kept(scene: Scene) -> set[str]:
    return scene.server.kept.keys() & set(CRL_PART_CONFIG_MAPS)


async def is_published(scene: Scene, number: int) -> None:
    """Wait until a CRL of so many entries is out, and nothing is left to be done for it."""

    def is_out() -> bool:
        found = said(scene)
        return found is not None and found.entries == number and named(scene) == names_kept(scene)

    await scene.until(is_out)


async def publish(scene: Scene, revoked: list[RevokedEntry]) -> None:
    scene.revocations.load(revoked)
    await is_published(scene, len(revoked))


async def test_more_than_fits_into_one_config_map_is_in_parts_and_the_copy_says_that_it_is_cut(
    scene: Scene,
) -> None:
    with logged("crl in parts", "crl truncated") as told:
        async with running(scene.revocations):
            await publish(scene, MANY)
            await scene.until(lambda: scene.gauge("agentid_crl_in_parts") == 1)

    kept = scene.server.kept[CRL_CONFIG_MAP]
    assert kept["data"]["entries"] == str(MAX_ENTRIES_IN_CLUSTER)
    # The last one that is left out of the copy is number 4,000, and ends four seconds after the first.
    assert kept["data"]["truncated"] == "until 2026-11-23T12:05:03Z"
    assert len(b64decode(kept["binaryData"][CRL_KEY])) < 900 * 1024
    assert len(scene.serials()) == MAX_ENTRIES_IN_CLUSTER
    assert {each.serial for each in whole(scene).entries} == {each.serial for each in MANY}
    assert whole(scene).number == scene.number()
    assert scene.gauge("agentid_crl_truncated") == 0
    assert [(each["event"], each["entries"]) for each in told] == [("crl in parts", OVER)]


async def test_a_successor_takes_over_what_the_parts_say(scene: Scene) -> None:
    async with running(scene.revocations):
        await publish(scene, MANY)
    number = scene.number()

    successor = scene.another()
    async with running(successor):
        successor.load(())
        await scene.until(lambda: scene.number() > number)
    assert {each.serial for each in whole(scene).entries} == {each.serial for each in MANY}


@pytest.mark.parametrize("writes", [0, 1, 2])
async def test_killed_between_parts_the_former_one_stays_whole(scene: Scene, writes: int) -> None:
    async with running(scene.revocations):
        await publish(scene, MANY)
        former, names = whole(scene), names_kept(scene)
        scene.server.writes_left = writes
        scene.now += timedelta(seconds=2)
        scene.revocations.add(*entries(OVER))
        await scene.until(lambda: scene.revocations._failures)  # noqa: SLF001
    assert len(names_kept(scene) - names) == writes
    assert whole(scene) == former

    scene.server.writes_left = None
    successor = scene.another()
    async with running(successor):
        successor.load(())
        await scene.until(lambda: scene.number() > former.number)
        await is_published(scene, OVER)
    assert {each.serial for each in whole(scene).entries} == {each.serial for each in MANY}


async def test_a_burst_of_ends_writes_few_parts(scene: Scene) -> None:
    async with running(scene.revocations):
        await publish(scene, MANY)
        before, parts = scene.server.writes, set(parts_kept(scene).values())
        scene.now += timedelta(seconds=2)
        for each in entries(5000):
            scene.revocations.add(each)
        await is_published(scene, OVER + 5000)

    assert len(whole(scene).entries) == OVER + 5000
    # One edition: the last part anew, perhaps more; the ConfigMap that names them; those before them removed.
    assert len(set(parts_kept(scene).values()) - parts) <= 3
    assert scene.server.writes - before <= 3 + 1 + 3


async def test_when_it_fits_again_the_parts_go(scene: Scene) -> None:
    async with running(scene.revocations):
        await publish(scene, [*MANY[:5000], *entries(OVER - 5000, timedelta(minutes=30))])
        assert names_kept(scene)
        scene.now = END + timedelta(minutes=2)
        scene.revocations.add(*entries(1, timedelta(minutes=30)))
        await is_published(scene, OVER + 1)
        # What is past is in this one a last time.
        scene.now += timedelta(seconds=2)
        scene.revocations.add(*entries(1, timedelta(minutes=30)))
        await scene.until(lambda: not names_kept(scene))
        await scene.until(lambda: scene.gauge("agentid_crl_in_parts") == 0)

    assert set(scene.server.kept) == {CRL_CONFIG_MAP}
    assert scene.server.kept[CRL_CONFIG_MAP]["data"]["truncated"] == "false"
    published = crl_in(scene.server.kept[CRL_CONFIG_MAP])
    assert published is not None
    assert published.whole is None


async def test_after_a_renewal_both_issuers_share_the_parts(scene: Scene) -> None:
    scene.authority = RENEWED
    async with running(scene.revocations):
        await publish(scene, MANY)
        await scene.until(lambda: PREVIOUS_CRL_CONFIG_MAP in scene.server.kept)
        await scene.until(lambda: scene.gauge("agentid_crl_in_parts") == 1)

    assert RENEWED.previous is not None
    assert names_kept(scene) == named(scene)
    assert len(whole(scene, CRL_CONFIG_MAP, RENEWED).entries) == OVER
    assert len(whole(scene, PREVIOUS_CRL_CONFIG_MAP, RENEWED.previous).entries) == OVER


async def test_what_somebody_put_in_place_of_a_part_is_written_over(scene: Scene) -> None:
    async with running(scene.revocations):
        await publish(scene, MANY)
    name = min(names_kept(scene))
    scene.server.kept[name]["binaryData"] = {PART_KEY: "bm90aGluZw=="}

    successor = scene.another()
    async with running(successor):
        with logged("crl parts not taken in") as told:
            successor.load(MANY)
            await scene.until(lambda: names_kept(scene) == named(scene))
            await scene.until(lambda: _can_be_put_together(scene))
    assert len(told) == 1
    assert {each.serial for each in whole(scene).entries} == {each.serial for each in MANY}


def _can_be_put_together(scene: Scene) -> bool:
    try:
        whole(scene)
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return False
    return True


async def test_what_somebody_did_to_parts_is_made_good_within_five_minutes(scene: Scene) -> None:
    async with running(scene.revocations):
        await publish(scene, MANY)
        first, second, *_ = sorted(named(scene))
        del scene.server.kept[first]
        scene.server.kept[second]["binaryData"] = {PART_KEY: "bm90aGluZw=="}
        scene.now += REFRESH
        await scene.until(lambda: _can_be_put_together(scene))
    assert {each.serial for each in whole(scene).entries} == {each.serial for each in MANY}


async def test_more_than_there_is_room_for_is_left_out_and_that_is_told(scene: Scene) -> None:
    with logged("crl truncated") as told:
        async with running(scene.revocations):
            scene.revocations.load(entries(MAX_ENTRIES + 1))
            await is_published(scene, MAX_ENTRIES)
            await scene.until(lambda: scene.gauge("agentid_crl_truncated") == 1)
    assert len(whole(scene).entries) == MAX_ENTRIES
    assert len(told) == 1
