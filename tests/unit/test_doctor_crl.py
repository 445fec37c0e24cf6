"""What the doctor makes of a published CRL: whose, how old, and whether it holds all."""

from datetime import timedelta

import pytest
from cryptography.x509 import ReasonFlags

from agentid.api.names import CRL_PART_CONFIG_MAPS
from agentid.cluster.config_maps import ConfigMap
from agentid.doctor.crl import judge_crl
from agentid.doctor.finding import Finding, Standing
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.crl import build_crl
from agentid.pki.crl_parts import CRL_KEY, Part, WholeCrl, cut, sha256
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import MAX_ENTRIES
from agentid.pki.spiffe_id import TrustDomain
from tests.unit.doctor_installation import NOW, one

DOMAIN = TrustDomain("prod.example.com")
AUTHORITY, STRANGER = (
    CertificateAuthority.load(AuthorityMaterial.create(DOMAIN, NOW), DOMAIN, NOW) for _ in range(2)
)


def published(by: CertificateAuthority = AUTHORITY, **data: str) -> ConfigMap:
    der = build_crl(by, (), number=42, now=NOW, next_update=NOW + timedelta(minutes=15))
    return ConfigMap(data, {CRL_KEY: der}, "uid", "1")


def judged(
    found: ConfigMap | None, authority: CertificateAuthority | None = AUTHORITY, *, minutes: float = 0
) -> Finding:
    return one(
        judge_crl(found, authority, "agentid-system/agentid-crl", NOW + timedelta(minutes=minutes), {})
    )


def test_a_current_crl_of_the_authority_is_well() -> None:
    told = judged(published(truncated="false"), minutes=4)

    assert told.standing is Standing.OK
    assert "number 42" in told.sentence


@pytest.mark.parametrize(
    ("found", "minutes", "standing", "said"),
    [
        (None, 0, Standing.PROBLEM, "holds no CRL"),
        (ConfigMap({}, {}, "uid", "1"), 0, Standing.PROBLEM, "holds no CRL"),
        (ConfigMap({}, {CRL_KEY: b"no CRL"}, "uid", "1"), 0, Standing.PROBLEM, "cannot be read"),
        (published(STRANGER), 0, Standing.PROBLEM, "not signed by this authority"),
        (published(), 11, Standing.WARNING, "should have been made anew"),
        (published(), 16, Standing.PROBLEM, "out of date"),
        (published(whole="{}"), 0, Standing.PROBLEM, "what is said of the parts of the CRL"),
        (published(truncated="until 2026-11-22T13:00:00Z"), 0, Standing.WARNING, "13:00:00Z"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    found: ConfigMap | None, minutes: float, standing: Standing, said: str
) -> None:
    told = judged(found, minutes=minutes)

    assert told.standing is standing
    assert said in told.sentence
    assert told.remedy


def test_who_may_not_read_the_authority_does_not_know_who_signed() -> None:
    assert judged(published(), None).standing is Standing.UNSEEN


def in_parts(entries: int = 20_000) -> tuple[ConfigMap, dict[str, bytes]]:
    """A CRL that is cut, and the parts of the whole one."""
    revoked = [
        RevokedEntry(f"{number:x}", NOW, NOW + timedelta(minutes=5), ReasonFlags.superseded)
        for number in range(1, entries + 1)
    ]
    der = build_crl(AUTHORITY, revoked, number=42, now=NOW, next_update=NOW + timedelta(minutes=15))
    pieces = cut(der, [each.number for each in revoked])
    parts = dict(zip(CRL_PART_CONFIG_MAPS, pieces.parts, strict=False))
    named = tuple(Part(name=name, sha256=sha256(each)) for name, each in parts.items())
    whole = WholeCrl(42, entries, sha256(der), pieces.begin, named, pieces.end)
    cut_one = published(truncated="until 2026-11-22T13:00:00Z")
    return ConfigMap(
        {**cut_one.data, **whole.data()}, {**cut_one.binary, **whole.binary()}, "uid", "1"
    ), parts


def test_a_cut_one_is_told_with_the_whole_one_that_decision_points_serve() -> None:
    found, parts = in_parts()
    cut_one, whole = judge_crl(found, AUTHORITY, "agentid-system/agentid-crl", NOW, parts)

    assert cut_one.standing is Standing.WARNING
    assert "Take the CRL from a decision point" in cut_one.remedy
    assert whole.standing is Standing.OK
    assert f"names the {len(parts)} parts of the whole one, 20000 entries" in whole.sentence

    del parts["agentid-crl-part-0"]
    _, broken = judge_crl(found, AUTHORITY, "agentid-system/agentid-crl", NOW, parts)
    assert broken.standing is Standing.PROBLEM
    assert "ConfigMap agentid-crl-part-0 with a part of the CRL is missing" in broken.sentence


def test_one_that_has_room_for_no_more_is_told() -> None:
    found, parts = in_parts(MAX_ENTRIES)
    _, whole = judge_crl(found, AUTHORITY, "agentid-system/agentid-crl", NOW, parts)

    assert whole.standing is Standing.WARNING
    assert "there is room for no more" in whole.sentence
