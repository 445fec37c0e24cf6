"""The published CRL: out in time, by the one that leads only, and never with less revoked than before."""

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509 import ReasonFlags
from structlog.testing import capture_logs

from agentid.api.names import CRL_CONFIG_MAP, PREVIOUS_CRL_CONFIG_MAP
from agentid.cluster.config_maps import ConfigMaps
from agentid.cluster.connection import Connection
from agentid.controller.errors import NotLeadingError
from agentid.controller.metrics import Metrics
from agentid.controller.revocations import Revocations
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.crl import read_crl
from agentid.pki.crl_parts import CRL_KEY
from agentid.pki.errors import CertificateAuthorityError, InvalidRevocationError
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import LIFETIME
from agentid.pki.spiffe_id import TrustDomain
from tests.unit.config_map_server import HOME, ConfigMapServer, config_map_server

TRUST_DOMAIN = TrustDomain("cluster.example.org")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
END = NOW + timedelta(minutes=5)
SUPERSEDED = ReasonFlags.superseded
MATERIAL = AuthorityMaterial.create(TRUST_DOMAIN, NOW)
AUTHORITY = CertificateAuthority.load(MATERIAL, TRUST_DOMAIN, NOW)
RENEWED = CertificateAuthority.load(MATERIAL.renew_intermediate(TRUST_DOMAIN, NOW), TRUST_DOMAIN, NOW)
WITHIN_SECONDS = 10.0


class Scene:
    """One operator's revocations and the API server that it publishes to."""

    def __init__(self, server: ConfigMapServer, connection: Connection) -> None:
        self.server = server
        self.authority: CertificateAuthority | None = AUTHORITY
        self.leads = True
        self.now = NOW
        self.metrics = Metrics()
        self.connection = connection
        self.revocations = self.another(self.metrics)

    def another(self, metrics: Metrics | None = None) -> Revocations:
        """A further operator's."""
        return Revocations(
            ConfigMaps(self.connection, HOME, self._guard),
            self._signing,
            metrics or Metrics(),
            leads=lambda: self.leads,
            clock=lambda: self.now,
        )

    def crl(self, name: str = CRL_CONFIG_MAP) -> x509.CertificateRevocationList:
        return x509.load_der_x509_crl(b64decode(self.server.kept[name]["binaryData"][CRL_KEY]))

    def number(self, name: str = CRL_CONFIG_MAP) -> int:
        return self.crl(name).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    def serials(self, name: str = CRL_CONFIG_MAP) -> set[str]:
        if name not in self.server.kept:
            return set()
        return {f"{each.serial_number:x}" for each in self.crl(name)}

    def gauge(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(name)
        assert value is not None
        return value

    async def until(self, what: Callable[[], Any]) -> None:
        deadline = time.monotonic() + WITHIN_SECONDS
        while not what():
            assert time.monotonic() < deadline, f"still {self.server.kept.keys()}, {len(self.serials())}"
            await asyncio.sleep(0.01)

    def _guard(self) -> float:
        if not self.leads:
            raise NotLeadingError("another leads")
        return 5.0

    def _signing(self) -> CertificateAuthority:
        if self.authority is None:
            raise CertificateAuthorityError("there is no certificate authority")
        return self.authority


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        config_map_server(tmp_path) as (server, kubeconfig),
        Connection.open(kubeconfig, time.monotonic) as connection,
    ):
        yield Scene(server, connection)


@asynccontextmanager
async def running(revocations: Revocations) -> AsyncIterator[None]:
    task = asyncio.create_task(revocations.run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextmanager
def logged(*messages: str) -> Iterator[list[Any]]:
    with capture_logs() as logs:
        found: list[Any] = []
        yield found
        found += [each for each in logs if each["event"] in messages]


def entry(serial: str, end: datetime = END) -> RevokedEntry:
    return RevokedEntry(serial, NOW, end, SUPERSEDED)


async def test_crl_is_there_though_nothing_is_revoked_and_says_what_it_is(scene: Scene) -> None:
    async with running(scene.revocations):
        scene.revocations.load(())
        await scene.until(lambda: CRL_CONFIG_MAP in scene.server.kept)

    kept, crl = scene.server.kept[CRL_CONFIG_MAP], scene.crl()
    assert kept["data"] == {
        "issuer": AUTHORITY.key_id,
        "number": str(int(NOW.timestamp())),
        "thisUpdate": "2026-11-23T11:59:00Z",
        "nextUpdate": "2026-11-23T12:15:00Z",
        "entries": "0",
        "truncated": "false",
    }
    assert crl.next_update_utc == NOW + LIFETIME
    assert scene.server.kept.keys() == {CRL_CONFIG_MAP}


async def test_what_is_revoked_is_published(scene: Scene) -> None:
    async with running(scene.revocations):
        scene.revocations.load([entry("4a")])
        await scene.until(lambda: scene.serials() == {"4a"})
        scene.now += timedelta(seconds=2)
        scene.revocations.revoked("4b", END, NOW, SUPERSEDED)
        await scene.until(lambda: scene.serials() == {"4a", "4b"})

    assert scene.number() == int(NOW.timestamp()) + 2
    assert scene.gauge("agentid_crl_entries") == 2
    assert scene.gauge("agentid_crl_lag_seconds") == 0


async def test_nothing_is_published_before_the_ledger_was_read_or_while_another_leads(scene: Scene) -> None:
    async with running(scene.revocations):
        scene.revocations.revoked("4a", END, NOW, SUPERSEDED)
        for _ in range(20):
            await asyncio.sleep(0)
        scene.leads = False
        scene.revocations.load(())
        await asyncio.sleep(0.05)
        assert scene.server.kept == {}
        scene.leads = True
        await scene.until(lambda: scene.serials() == {"4a"})


async def test_successor_revokes_what_the_published_crl_did_though_its_ledger_does_not_say_so(
    scene: Scene,
) -> None:
    async with running(scene.revocations):
        scene.revocations.load([entry("4a")])
        await scene.until(lambda: scene.serials() == {"4a"})
    number = scene.number()

    successor = scene.another()
    async with running(successor):
        successor.load([entry("4b")])
        await scene.until(lambda: scene.serials() == {"4a", "4b"})
    # The clock has not moved: the number has.
    assert scene.number() == number + 1


async def test_number_grows_though_the_clock_was_set_back_and_though_the_config_map_is_gone(
    scene: Scene,
) -> None:
    numbers = []
    for seconds in (0, -30, -30):
        scene.now = NOW + timedelta(seconds=seconds)
        revocations = scene.another()
        async with running(revocations):
            revocations.load(())
            before = scene.server.writes
            await scene.until(lambda before=before: scene.server.writes > before)
        numbers.append(scene.number())
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]

    scene.server.kept.clear()
    scene.now = NOW + timedelta(seconds=60)
    revocations = scene.another()
    async with running(revocations):
        revocations.load(())
        await scene.until(lambda: CRL_CONFIG_MAP in scene.server.kept)
    assert scene.number() > numbers[-1]


async def test_after_a_renewal_both_intermediates_have_their_crl_with_the_same_entries(scene: Scene) -> None:
    async with running(scene.revocations):
        scene.revocations.load([entry("4a")])
        await scene.until(lambda: scene.serials() == {"4a"})
        number = scene.number()
        scene.authority = RENEWED
        scene.now += timedelta(seconds=2)
        scene.revocations.revoked("4b", END, NOW, SUPERSEDED)
        await scene.until(lambda: scene.serials(PREVIOUS_CRL_CONFIG_MAP) == {"4a", "4b"})

    assert RENEWED.previous is not None
    for name, issuer in ((CRL_CONFIG_MAP, RENEWED), (PREVIOUS_CRL_CONFIG_MAP, RENEWED.previous)):
        kept = scene.server.kept[name]
        assert kept["data"]["issuer"] == issuer.key_id
        read = read_crl(b64decode(kept["binaryData"][CRL_KEY]), issuer, longest_life=timedelta(days=1))
        assert {each.serial for each in read.entries} == {"4a", "4b"}
        assert read.number > number


async def test_who_wrote_in_between_is_read_and_not_written_over(scene: Scene) -> None:
    async with running(scene.revocations):
        scene.revocations.load([entry("4a")])
        await scene.until(lambda: scene.serials() == {"4a"})
        other = scene.another()
        async with running(other):
            other.load([entry("4c")])
            await scene.until(lambda: scene.serials() == {"4a", "4c"})
        scene.now += timedelta(seconds=2)
        scene.revocations.revoked("4b", END, NOW, SUPERSEDED)
        await scene.until(lambda: scene.serials() == {"4a", "4b", "4c"})


async def test_forged_crl_revokes_nothing_and_its_number_does_not_count(scene: Scene) -> None:
    impostor = CertificateAuthority.load(AuthorityMaterial.create(TRUST_DOMAIN, NOW), TRUST_DOMAIN, NOW)
    scene.authority = impostor
    scene.now = NOW + timedelta(days=100)
    forger = scene.another()
    async with running(forger):
        forger.load([entry("4f", END + timedelta(days=200))])
        await scene.until(lambda: scene.serials() == {"4f"})

    scene.authority, scene.now = AUTHORITY, NOW
    async with running(scene.revocations):
        scene.revocations.load([entry("4a")])
        await scene.until(lambda: scene.serials() == {"4a"})
    assert scene.number() == int(NOW.timestamp())


@pytest.mark.parametrize("content", ["", "bm8gY3Js", "no base64"])
async def test_what_is_no_crl_is_written_over(scene: Scene, content: str) -> None:
    async with running(scene.revocations):
        scene.revocations.load(())
        await scene.until(lambda: CRL_CONFIG_MAP in scene.server.kept)
    scene.server.kept[CRL_CONFIG_MAP]["binaryData"][CRL_KEY] = content

    successor = scene.another()
    async with running(successor):
        successor.load([entry("4a")])
        await scene.until(lambda: scene.server.kept[CRL_CONFIG_MAP]["data"]["entries"] == "1")
    assert scene.serials() == {"4a"}


async def test_outage_is_told_once_and_what_ended_meanwhile_is_in_the_crl_afterwards(scene: Scene) -> None:
    with logged("crl not published", "crl published again") as told:
        async with running(scene.revocations):
            scene.revocations.load(())
            await scene.until(lambda: scene.server.writes == 1)
            scene.server.status = 503
            scene.now += timedelta(seconds=2)
            scene.revocations.revoked("4a", END, scene.now, SUPERSEDED)
            scene.now += timedelta(seconds=30)
            await scene.until(lambda: scene.revocations._failures >= 1)  # noqa: SLF001
            assert scene.gauge("agentid_crl_lag_seconds") == 30
            assert scene.gauge("agentid_crl_age_seconds") == 32
            scene.server.status = None
            await scene.until(lambda: scene.serials() == {"4a"})
            await scene.until(lambda: scene.gauge("agentid_crl_lag_seconds") == 0)
    assert [each["event"] for each in told] == ["crl not published", "crl published again"]


async def test_without_an_authority_nothing_is_published_and_it_is_told(scene: Scene) -> None:
    scene.authority = None
    with logged("crl not published") as told:
        async with running(scene.revocations):
            scene.revocations.load([entry("4a")])
            await scene.until(lambda: scene.revocations._failures)  # noqa: SLF001
            scene.authority = AUTHORITY
            await scene.until(lambda: scene.serials() == {"4a"})
    assert "no certificate authority" in told[0]["error"]


async def test_what_cannot_be_revoked_is_refused(scene: Scene) -> None:
    with pytest.raises(InvalidRevocationError):
        scene.revocations.revoked("not hexadecimal", END, NOW, SUPERSEDED)
