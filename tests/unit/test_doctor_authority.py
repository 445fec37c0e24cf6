"""What the doctor makes of the certificate authority, of which it shows no key."""

from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest

from agentid.doctor import authority
from agentid.doctor.finding import Standing
from agentid.pki.authority import AuthorityMaterial
from agentid.pki.spiffe_id import TrustDomain
from tests.unit.doctor_installation import NOW, one


def secret_of(material: AuthorityMaterial) -> dict[str, Any]:
    parts = {
        "root.crt": material.root_certificate,
        "root.key": material.root_key,
        "intermediate.crt": material.intermediate_certificate,
        "intermediate.key": material.intermediate_key,
    }
    return {"data": {name: b64encode(part).decode() for name, part in parts.items()}}


def material(**lifetimes: timedelta) -> AuthorityMaterial:
    return AuthorityMaterial.create(TrustDomain("prod.example.com"), NOW, **lifetimes)


def test_a_good_authority_is_told_by_what_is_public_of_it() -> None:
    made = material()

    told = one(authority.judge_authority(secret_of(made), "agentid-system", NOW))

    assert told.standing is Standing.OK
    assert "Trust domain prod.example.com" in told.sentence
    for key in (made.root_key, made.intermediate_key):
        inside = [line for line in key.decode().splitlines() if line and not line.startswith("-----")]
        assert not any(line in told.sentence for line in inside)


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (timedelta(days=260), "should have been renewed"),
        (timedelta(days=366), "expired"),
    ],
)
def test_an_intermediate_that_is_not_renewed_is_told(later: timedelta, told: str) -> None:
    found = one(authority.judge_authority(secret_of(material()), "agentid-system", NOW + later))

    assert found.standing is not Standing.OK
    assert told in found.sentence
    assert found.remedy


def test_the_last_year_of_a_root_is_told() -> None:
    made = secret_of(material(root_lifetime=timedelta(days=200)))

    found = one(authority.judge_authority(made, "agentid-system", NOW))

    assert found.standing is Standing.WARNING
    assert "last year" in found.sentence


def test_a_damaged_authority_is_a_problem_and_shows_no_key() -> None:
    good, other = secret_of(material()), secret_of(material())
    damaged = [
        None,
        {},
        {"data": {}},
        {"data": good["data"] | {"root.crt": "!"}},
        {"data": good["data"] | {"intermediate.key": other["data"]["intermediate.key"]}},
        {"data": good["data"] | {"root.key": b64encode(b"no key").decode()}},
        {"data": good["data"] | {"intermediate.crt": other["data"]["intermediate.crt"]}},
    ]
    for secret in damaged:
        found = one(authority.judge_authority(secret, "agentid-system", NOW))
        assert found.standing is Standing.PROBLEM
        assert found.remedy
        assert "PRIVATE KEY" not in found.sentence
