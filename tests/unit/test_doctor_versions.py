"""What the doctor makes of the versions of Kubernetes, of the CRDs and of agentid."""

import json
from typing import Any

import pytest

from agentid.api import crd, kinds
from agentid.api.admission import rule_keys
from agentid.doctor import versions
from agentid.doctor.finding import Standing
from tests.unit.doctor_installation import SETTINGS, installed, one


@pytest.mark.parametrize(
    ("major", "minor", "standing"),
    [
        ("1", "29", "Problem"),
        ("1", "30+", "Warning"),
        ("1", "36", "OK"),
        ("2", "0", "OK"),
        ("", "", "Problem"),
    ],
)
def test_what_a_version_of_kubernetes_gives(major: str, minor: str, standing: str) -> None:
    told = one(versions.judge_kubernetes({"major": major, "minor": minor, "gitVersion": "v"}))

    assert told.standing == standing


def crd_found(**version: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    made: dict[str, Any] = json.loads(json.dumps(crd.definition(kinds.KINDS[0])))
    made["spec"]["versions"][0] |= version
    return {**made, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        (crd_found(), "OK"),
        (None, "Problem"),
        (crd_found(served=False), "Problem"),
        (crd_found(name="v1"), "Problem"),
        (crd_found(schema={}), "Warning"),
        ({**crd_found(), "status": {}}, "Problem"),
    ],
)
def test_how_a_crd_stands(found: dict[str, Any] | None, standing: str) -> None:
    kind = kinds.KINDS[0]

    assert one(versions.judge_crd(kind.crd_name, crd.definition(kind), found)).standing == standing


def test_another_version_of_agentid_is_told() -> None:
    found = installed(SETTINGS)

    assert one(versions.judge_agentid("0.1.0", found)).standing is Standing.OK
    assert one(versions.judge_agentid("0.2.0", found)).standing is Standing.WARNING
    assert one(versions.judge_agentid("0.2.0", dict.fromkeys(rule_keys()))).standing is Standing.WARNING
