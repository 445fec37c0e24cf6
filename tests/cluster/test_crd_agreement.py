"""What the API server accepts, pydantic accepts, and the other way round, over generated good and bad specs.

Two nuances are known and named here: the API server reads a whole number that is written as a decimal or
with an exponent (`900.0`, `1e3`) as an integer, and a null as a field that is left out;
pydantic sees the object only after that.
"""

import copy
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import config
from pydantic import ValidationError

from agentid.api.agent import AgentSpec
from agentid.api.agentapproval import AgentApprovalSpec
from agentid.api.agentsecret import AgentSecretSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.fields import Model
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE

MODELS: dict[str, tuple[str, type[Model]]] = {
    "AgentTask": ("agenttasks", AgentTaskSpec),
    "Agent": ("agents", AgentSpec),
    "AgentSecret": ("agentsecrets", AgentSecretSpec),
    "AgentApproval": ("agentapprovals", AgentApprovalSpec),
}
HOMES = {"AgentSecret": NAMESPACE}
"""Namespaces of kinds that are not taken anywhere."""
UID = "5b0c3a3e-3a33-4b4b-9c9c-000000000001"
TASK: dict[str, Any] = {
    "agentRef": {"name": "refund-agent"},
    "intent": {
        "purpose": "Refund order 4711",
        "session": "chat-83f1",
        "actions": ["orders:read"],
        "grantable": ["refunds:create"],
        "resources": ["order/4711"],
        "sensitivity": "Confidential",
    },
    "parentRef": {"name": "triage-4711", "uid": UID},
    "workload": {
        "serviceAccountName": "refund-agent",
        "ref": {"apiVersion": "batch/v1", "kind": "Job", "name": "refund-4711"},
        "replacement": "Never",
    },
    "startDeadlineSeconds": 600,
    "activeDeadlineSeconds": 3600,
    "ttlSecondsAfterFinished": 86400,
    "credential": {"mode": "Secret", "ttlSeconds": 300, "renew": True},
    "staticSecrets": [{"name": "legacy-crm-key"}, {"name": "payments"}],
    "state": "Active",
    "stateReason": "because",
}
AGENT: dict[str, Any] = {
    "owner": "payments-team@example.com",
    "class": "Recurring",
    "reviewBy": "2027-05-31T00:00:00Z",
    "actions": ["orders:read", "refunds:*"],
    "serviceAccounts": ["refund-agent"],
    "maxActiveDeadlineSeconds": 3600,
    "maxSensitivity": "Confidential",
    "disabled": False,
}
AGENT_SECRET: dict[str, Any] = {
    "source": {"secretName": "legacy-crm", "key": "token"},
    "agents": [{"namespace": "support", "name": "refund-agent"}],
    "actions": ["crm:write", "orders:*"],
    "maxTTLSeconds": 900,
}
DENIAL: dict[str, Any] = {
    "taskRef": {"name": "refund-4711", "uid": UID},
    "specHash": f"v1:{'0' * 64}",
    "intentGeneration": 1,
    "projection": "{}",
    "decision": "Deny",
    "comment": "Not this one",
}
"""Of an Approve, admission also compares the time with now."""
WHOLE = {"AgentTask": TASK, "Agent": AGENT, "AgentSecret": AGENT_SECRET, "AgentApproval": DENIAL}


class ApiServer:
    """Creates objects as a dry run, strictly, over one kept connection."""

    def __init__(self, kubeconfig: str) -> None:
        client = config.new_client_from_config(kubeconfig)
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self._host: str = client.configuration.host

    def create(self, kind: str, spec: object, name: str = "generated") -> tuple[int, dict[str, Any]]:
        """Return the status code and the answer to one object with this spec."""
        manifest = {
            "apiVersion": "agentid.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        return self.send(kind, json.dumps(manifest).encode())

    def send(self, kind: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Return the status code and the answer to one body."""
        where = f"namespaces/{HOMES.get(kind, 'default')}/{MODELS[kind][0]}"
        url = f"{self._host}/apis/agentid.dev/v1alpha1/{where}"
        answer = self._pool.request(
            "POST",
            f"{url}?dryRun=All&fieldValidation=Strict",
            body=body,
            headers={"Content-Type": "application/json"},
        )
        return answer.status, json.loads(answer.data)


@pytest.fixture(scope="module")
def server(cluster: ControlPlane) -> ApiServer:
    """The API server, as administrator."""
    return ApiServer(str(cluster.kubeconfig))


def accepts(model: type[Model], spec: object) -> bool:
    try:
        model.model_validate(spec)
    except ValidationError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one spec.

    Attributes:
        spec: The spec as it was sent.
        by_server: Whether the API server accepts it.
        by_pydantic: Whether pydantic accepts it, as it is or, where it is stored, as the server reads it.
        says: What the API server answers when it refuses it.
    """

    spec: object
    by_server: bool
    by_pydantic: bool
    says: str

    @property
    def alike(self) -> bool:
        """Do both judge alike?"""
        return self.by_server == self.by_pydantic


def judged(server: ApiServer, kind: str, spec: object) -> Judged:
    """Let both judge one spec; what the server stores of a good one, pydantic has to read."""
    model = MODELS[kind][1]
    code, answer = server.create(kind, spec)
    assert code in (201, 400, 403, 422, 500), answer
    says = str(answer.get("message", ""))
    if code == 500:
        # Admission could not even look at it.
        assert "denied request" in says or "failed" in says, answer
    by_pydantic = accepts(model, spec)
    if code != 201:
        return Judged(spec, by_server=False, by_pydantic=by_pydantic, says=says)
    stored = answer["spec"]
    for stamp in ("requester", "stateChangedBy", "approver"):
        if not (isinstance(spec, Mapping) and stamp in spec):
            stored = {key: value for key, value in stored.items() if key != stamp}
    model.model_validate(stored)
    model.model_validate_json(json.dumps(stored))
    return Judged(spec, by_server=True, by_pydantic=by_pydantic or accepts(model, rewritten(spec)), says=says)


def rewritten(part: object) -> object:
    """What the API server makes of the two nuances: integral floats are integers, nulls are left out."""
    match part:
        case float() if part.is_integer() and abs(part) < 2**63:
            return int(part)
        case dict():
            return {key: rewritten(value) for key, value in part.items() if value is not None}
        case list():
            return [rewritten(value) for value in part]
        case _:
            return part


def paths(part: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of each value in a spec, from the whole to the leaves."""
    match part:
        case dict():
            return [path, *(deeper for key in part for deeper in paths(part[key], (*path, key)))]
        case list():
            return [
                path,
                *(deeper for number, each in enumerate(part) for deeper in paths(each, (*path, number))),
            ]
        case _:
            return [path]


def written(path: tuple[Any, ...]) -> str:
    """A path as the API server writes it."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def put(spec: dict[str, Any], path: tuple[Any, ...], value: object) -> object:
    """A copy of the spec with another value at `path`; LEFT_OUT takes it out."""
    if not path:
        return value
    changed = copy.deepcopy(spec)
    part: Any = changed
    for step in path[:-1]:
        part = part[step]
    if value is LEFT_OUT:
        del part[path[-1]]
    else:
        part[path[-1]] = value
    return changed


LEFT_OUT = object()
ODD_TEXTS = [
    "",
    " ",
    "\n",
    "refund\n",
    "refund-agent\u0000",
    "\uff32efund",  # a full-width R
    "r\u0435fund",  # a Cyrillic letter
    "re\u0301fund",
    "r\u00e9fund",
    "a\u202eb",
    "a\u200bb",
    "a\ufeffb",
    "\u2028",
    "tab\there",
    "a" * 63,
    "a" * 64,
    "a" * 128,
    "a" * 129,
    "a" * 253,
    "a" * 254,
    "é" * 256,
    "a" * 1024,
    "a" * 1025,
    "é" * 1024,
    "a.b",
    "a..b",
    "-a",
    "a-",
    "A",
    "orders:*",
    "*",
    "orders::read",
    "orders:read:",
    "batch/v1",
    "v1",
    "v1alpha1",
    "/v1",
    "batch/v1\n",
    "Active",
    "active",
    "Ended",
    "true",
    "1",
    "Job",
    "job",
    "order/4711?x=1",
    "carol@example.com",
    "2027-05-31T00:00:00Z",
    "2027-05-31T00:00:00.123456789+05:30",
    "2027-05-31t00:00:00z",
    "2027-02-30T00:00:00Z",
    "2027-05-31T24:00:00Z",
    "2027-05-31T23:59:60Z",
    "2027-05-31T00:00:00+99:99",
    "2027-05-31 00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "\uff12027-05-31T00:00:00Z",
    "Restricted",
    "Recurring",
    "Ephemeral",
    "x509-authority",
    "agentid-refund-4711",
    "None",
    "Deny",
    UID,
    f"v1:{'0' * 64}",
    f"v1:{'0' * 63}",
]
ODD_NUMBERS = [
    0, -1, 1, 29, 30, 31, 299, 300, 3600, 3601, 86_400, 86_401, 604_800, 604_801,
    2_592_000, 2_592_001, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 1e3, 900.0, 900.5, 1e30, -0.0,
]  # fmt: skip
ODD_VALUES = [
    True,
    False,
    None,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"name": "a"},
    {"a": "b"},
    [1],
    ["a", "a"],
    LEFT_OUT,
]

values = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from(ODD_VALUES),
    st.text(max_size=80),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.sampled_from(ODD_TEXTS), max_size=70),
)


@st.composite
def specs(draw: st.DrawFn, kind: str) -> object:
    """A good spec with one to three values exchanged for odd ones."""
    spec: Any = copy.deepcopy(WHOLE[kind])
    for _ in range(draw(st.integers(1, 3))):
        if isinstance(spec, dict):
            spec = put(spec, draw(st.sampled_from([path for path in paths(spec) if path])), draw(values))
    return spec


@pytest.mark.parametrize("kind", MODELS)
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_generated_specs(server: ApiServer, kind: str, data: st.DataObject) -> None:
    seen = judged(server, kind, data.draw(specs(kind)))

    assert seen.alike, seen


@pytest.mark.parametrize("kind", MODELS)
def test_every_odd_value_in_every_place(server: ApiServer, kind: str) -> None:
    odd = [
        put(WHOLE[kind], path, value)
        for path in paths(WHOLE[kind])
        for value in (*ODD_TEXTS, *ODD_NUMBERS, *ODD_VALUES)
        if path or isinstance(value, dict)
    ]

    with ThreadPoolExecutor(4) as pool:  # one judges while others wait for the server
        seen = [*pool.map(partial(judged, server, kind), odd)]

    assert [each for each in seen if not each.alike] == []
    assert {each.by_server for each in seen} == {True, False}, "some of them are good, and most are not"


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("field", ["unknown", "Class", "agentref", "ttl_seconds", "spec", "__proto__"])
def test_unknown_fields_anywhere(server: ApiServer, kind: str, field: str) -> None:
    for path in paths(WHOLE[kind]):
        part: Any = WHOLE[kind]
        for step in path:
            part = part[step]
        if isinstance(part, dict):
            spec = put(WHOLE[kind], path, {**part, field: "x"})
            code, answer = server.create(kind, spec)
            assert code in (400, 422), answer
            assert f'unknown field "spec{written((*path, field))}"' in answer["message"]
            assert not accepts(MODELS[kind][1], spec)


@pytest.mark.parametrize("kind", MODELS)
def test_duplicate_keys(server: ApiServer, kind: str) -> None:
    body = json.dumps({"apiVersion": "agentid.dev/v1alpha1", "kind": kind, "metadata": {"name": "twice"}})
    spec = json.dumps(WHOLE[kind])

    code, answer = server.send(kind, f'{body[:-1]}, "spec": {spec}, "spec": {spec}}}'.encode())

    assert code == 400
    assert 'duplicate field "spec"' in answer["message"]


@pytest.mark.parametrize("number", ["NaN", "1_000", "0x1e", "1e400", "+300", "030"])
def test_what_is_no_number_in_json(server: ApiServer, number: str) -> None:
    body = json.dumps({"apiVersion": "agentid.dev/v1alpha1", "kind": "AgentTask", "metadata": {"name": "n"}})
    spec = json.dumps({**TASK, "startDeadlineSeconds": "HERE"}).replace('"HERE"', number)

    code, answer = server.send("AgentTask", f'{body[:-1]}, "spec": {spec}}}'.encode())

    assert code in (400, 422), answer


@pytest.mark.parametrize(
    ("kind", "name", "accepted"),
    [
        ("AgentTask", "a" * 63, True),
        ("AgentTask", "a.b-c", True),
        ("AgentTask", "a" * 64, False),
        ("AgentTask", "a" * 253, False),
        ("AgentTask", "a" * 254, False),
        ("AgentTask", "Refund", False),
        ("Agent", "a" * 63, True),
        ("Agent", "a" * 64, False),
        ("Agent", "a.b", False),
        ("Agent", "é", False),
        ("AgentSecret", "a" * 63, True),
        ("AgentSecret", "a" * 64, False),
        ("AgentSecret", "tls.key", False),
    ],
)
def test_names(server: ApiServer, kind: str, name: str, accepted: bool) -> None:  # noqa: FBT001 - parametrized
    code, answer = server.create(kind, WHOLE[kind], name)

    assert (code == 201) == accepted, answer
    if not accepted:
        assert "name" in answer["message"]


@pytest.mark.parametrize(
    "spec",
    [
        put(TASK, ("intent", "purpose"), "a" * 1_400_000),
        put(TASK, ("intent", "actions"), ["orders:read"] * 100_000),
        put(TASK, ("intent", "actions"), [f"orders:{number}" for number in range(100_000)]),
        put(TASK, ("intent", "session"), json.loads("[" * 900 + "]" * 900)),
    ],
    ids=["1.4 MB", "100,000 times the same", "100,000 different", "deep"],
)
def test_huge_ones_are_refused(server: ApiServer, spec: object) -> None:
    code, answer = server.create("AgentTask", spec)

    assert code in (400, 413, 422, 500), answer
    assert len(answer["message"]) > 20
    assert not accepts(AgentTaskSpec, spec)
