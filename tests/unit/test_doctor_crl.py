"""What the doctor makes of a published CRL: whose, how old, and whether it holds all."""

from datetime import timedelta

import pytest

from agentid.cluster.config_maps import ConfigMap
from agentid.controller.revocations import CRL_KEY
from agentid.doctor.crl import judge_crl
from agentid.doctor.finding import Finding, Standing
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.crl import build_crl
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
    return one(judge_crl(found, authority, "agentid-system/agentid-crl", NOW + timedelta(minutes=minutes)))


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
