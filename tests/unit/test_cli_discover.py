"""Which standing credentials are found by metadata, whose they are, and what is never asked for."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agentid.api.fields import format_time
from agentid.cli.main import app
from agentid.cli.mounted_secrets import Users, references
from agentid.cli.standing_secrets import TYPES, Finding, Kind, finding_of
from tests.unit.listing_server import Lists, agentid

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAYS = timedelta(days=30)
TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type
ACCOUNT = {"kubernetes.io/service-account.name": "refund-agent"}
OWN = {"app.kubernetes.io/managed-by": "agentid"}

REFERRING: dict[str, Any] = {
    "serviceAccountName": "refund-agent",
    "imagePullSecrets": [{"name": "pulls"}],
    "volumes": [
        {"name": "a", "secret": {"secretName": "in-volume"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {}}]}},
        {"name": "c", "emptyDir": {}},
    ],
    "initContainers": [{"envFrom": [{"secretRef": {"name": "all-env"}}, {"configMapRef": {"name": "c"}}]}],
    "containers": [
        {
            "env": [
                {"name": "A", "value": "x"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "one-env", "key": "k"}}},
            ]
        }
    ],
    "ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "late-env"}}]}],
}


def pod(name: str = "worker", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    metadata = {"namespace": "default", "name": name, "labels": labels or {}}
    return {"metadata": metadata, "spec": {**REFERRING, **spec}}


def secret(
    name: str,
    of_type: str = "Opaque",
    old: timedelta = DAYS,
    at: datetime = NOW,
    **metadata: Any,  # noqa: ANN401 - as above
) -> dict[str, Any]:
    created = format_time(at - old)
    return {
        "type": of_type,
        "metadata": {"namespace": "default", "name": name, "creationTimestamp": created, **metadata},
        "data": {"token": "c2VjcmV0"},
    }


def agent(name: str = "refund-agent", *accounts: str) -> dict[str, Any]:
    spec = {"serviceAccounts": list(accounts or ("refund-agent",))}
    return {"metadata": {"namespace": "default", "name": name}, "spec": spec}


def users(*pods: dict[str, Any]) -> Users:
    found = Users({("default", "refund-agent"): ("refund-agent",)})
    for each in pods:
        found.take(each)
    return found


def found(of: dict[str, Any], kind: Kind = Kind.OPAQUE, *pods: dict[str, Any]) -> Finding | None:
    return finding_of(of, kind, users(*(pods or (pod(),))), NOW)


def now_old(name: str, of_type: str = "Opaque", **metadata: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    return secret(name, of_type, at=datetime.now(UTC), **metadata)


def test_a_pod_refers_to_secrets_in_four_ways_and_pulling_images_is_none() -> None:
    assert {(name, way) for name, way in references(REFERRING) if name} == {
        ("in-volume", "volume"),
        ("projected", "projected"),
        ("one-env", "env"),
        ("all-env", "envFrom"),
        ("late-env", "envFrom"),
    }


@pytest.mark.parametrize(
    ("taken", "agents"),
    [
        (pod(), {"refund-agent"}),
        (pod(serviceAccountName="default", labels={"agentid.dev/task": "t"}), set()),
        (pod(serviceAccountName="default", labels={"agentid.dev/template": "t"}), set()),
        (pod(serviceAccountName="default"), None),
        ({"spec": {"volumes": 7}}, None),
    ],
    ids=["account", "task", "template", "nobodys", "odd"],
)
def test_an_agents_pod_is_known_by_its_account_or_by_a_tasks_label(
    taken: dict[str, Any], agents: set[str] | None
) -> None:
    uses = users(taken).uses.get(("default", "in-volume"))
    assert (None if uses is None else uses.agents) == agents


def test_a_finding_says_whose_it_is_how_it_is_used_and_how_old_it_is() -> None:
    seen = found(secret("all-env"), Kind.OPAQUE, pod("b"), pod("a"))
    assert seen is not None
    assert (seen.agents, seen.pods, seen.ways) == (("refund-agent",), ("a", "b"), ("envFrom",))
    assert seen.age == DAYS
    assert "AgentSecret" in seen.next


@pytest.mark.parametrize(
    ("of", "kind", "is_found"),
    [
        (secret("nobody-uses-it"), Kind.OPAQUE, False),
        (secret("in-volume"), Kind.OPAQUE, True),
        (secret("nobody-uses-it", TOKEN), Kind.SERVICE_ACCOUNT_TOKEN, True),
        (secret("agentid-one", labels=OWN), Kind.TLS, False),
        (secret("agentid-planted"), Kind.TLS, True),
        (secret("in-volume", labels=OWN), Kind.TLS, True),
    ],
    ids=["unused", "used", "token", "a-tasks-own", "only-named-like-one", "only-labelled-like-one"],
)
def test_what_agents_use_and_every_token_is_found_but_no_tasks_own(
    of: dict[str, Any],
    kind: Kind,
    is_found: bool,  # noqa: FBT001 - a table
) -> None:
    volumes = [{"secret": {"secretName": name}} for name in ("in-volume", "agentid-one", "agentid-planted")]
    assert (found(of, kind, pod(volumes=volumes)) is not None) is is_found


@pytest.mark.parametrize(
    ("metadata", "agents", "said"),
    [
        ({"annotations": ACCOUNT}, ("refund-agent",), "It never expires. Give each run an AgentTask"),
        ({}, (), "no Agent is seen to use it"),
        (
            {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-11-01"}, "annotations": ACCOUNT},
            ("refund-agent",),
            "has not accepted it since 2026-11-01. Delete it.",
        ),
    ],
    ids=["an-agents", "nobodys", "not-accepted"],
)
def test_a_token_is_its_accounts_agents(metadata: dict[str, Any], agents: tuple[str, ...], said: str) -> None:
    seen = found(secret("token", TOKEN, **metadata), Kind.SERVICE_ACCOUNT_TOKEN)
    assert seen is not None
    assert seen.agents == agents
    assert said in seen.next


def test_what_the_metadata_says_besides_is_told() -> None:
    used = {"kubernetes.io/legacy-token-last-used": "2026-11-20"}
    token = found(secret("t", TOKEN, labels=used, annotations=ACCOUNT), Kind.SERVICE_ACCOUNT_TOKEN)
    by_cert_manager = {"cert-manager.io/certificate-name": "refunds"}
    tls = found(secret("in-volume", "kubernetes.io/tls", annotations=by_cert_manager), Kind.TLS)
    assert token is not None
    assert tls is not None
    assert (token.account, token.last_used, token.certificate) == ("refund-agent", "2026-11-20", None)
    assert (tls.account, tls.last_used, tls.certificate) == (None, None, "refunds")


async def test_of_secrets_only_metadata_is_asked_for_and_one_type_at_a_time(tmp_path: Path) -> None:
    server = Lists(agents=[agent()], pods=[pod()], secrets=[now_old("in-volume")])
    code, out, _ = await agentid(server, tmp_path, "discover", "-o", "json")
    assert (code, [each["name"] for each in json.loads(out)["findings"]]) == (0, ["in-volume"])
    asked = list(server.of("secrets"))
    assert [each.query["fieldSelector"] for each in asked] == [f"type={each}" for each in TYPES.values()]
    wanted = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    assert {each.headers["Accept"] for each in asked} == {wanted}
    assert {each.method for each in server.asked} == {"GET"}
    assert {each.path.rpartition("/")[2] for each in server.asked} == {"version", "agents", "pods", "secrets"}


async def test_findings_are_told_in_rows_with_what_to_do(tmp_path: Path) -> None:
    secrets = [
        now_old("in-volume", "kubernetes.io/tls"),
        now_old("one-env"),
        now_old("all-env"),
        now_old("token", TOKEN, old=timedelta(hours=3), annotations=ACCOUNT),
        now_old("late-env", old=timedelta(hours=3)),
    ]
    server = Lists(agents=[agent()], pods=[pod("w-1"), pod("w-2")], secrets=secrets)
    code, out, err = await agentid(server, tmp_path, "discover", "-A")
    assert code == 0
    lines = out.splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["NAMESPACE", "SECRET", "KIND", "AGENTS", "PODS", "AGE"],
        ["default", "token", "service-account-token", "refund-agent", "<none>", "3h"],
        ["default", "in-volume", "tls", "refund-agent", "w-1", "+1", "30d"],
        ["default", "all-env", "opaque", "refund-agent", "w-1", "+1", "30d"],
        ["default", "one-env", "opaque", "refund-agent", "w-1", "+1", "30d"],
    ]
    assert lines[5] == "What to do instead"
    begun = [line for line in lines[6:] if not line.startswith("   ")]
    assert [line.partition(": ")[0].split(maxsplit=1) for line in begun] == [
        ["service-account-token", "default/token"],
        ["tls", "default/in-volume"],
        ["opaque", "default/all-env, default/one-env"],
    ]
    assert "4 standing credentials in all namespaces, among 5 Secrets and 2 pods of agents" in err
    assert "1 that agents use are younger than 24h" in err

    _, out, _ = await agentid(server, tmp_path, "discover", "-o", "name", "--older-than", "0s")
    assert "secret/late-env" in out.split()


@pytest.mark.parametrize(
    ("lists", "options", "code"),
    [
        ({"secrets": [now_old("in-volume")]}, (), 0),
        ({"secrets": [now_old("in-volume")]}, ("--exit-code",), 1),
        ({"secrets": [now_old("in-volume")]}, ("--exit-code", "-o", "json"), 1),
        ({"secrets": []}, ("--exit-code",), 0),
        ({"secrets": [], "pods": None}, ("--exit-code",), 1),
        ({"secrets": [], "pods": None}, (), 0),
        ({"secrets": None}, (), 1),
    ],
    ids=["told", "fails", "fails-as-json", "none", "not-all-seen-fails", "not-all-seen", "nothing-seen"],
)
async def test_the_exit_code_says_whether_there_was_a_look_and_if_asked_whether_there_is_anything(
    tmp_path: Path, lists: dict[str, Any], options: tuple[str, ...], code: int
) -> None:
    given = {"agents": [agent()], "pods": [pod()], **lists}
    server = Lists(**{plural: items for plural, items in given.items() if items is not None})
    assert (await agentid(server, tmp_path, "discover", *options))[0] == code


async def test_what_cannot_be_seen_is_said(tmp_path: Path) -> None:
    token = now_old("token", TOKEN, annotations=ACCOUNT)
    code, out, err = await agentid(Lists(secrets=[token]), tmp_path, "discover")
    assert code == 0
    assert out.splitlines()[1].split()[2] == "<unknown>"
    assert "which service accounts are agents', as you may not list agents.agentid.dev in namespace" in err
    assert "which Secrets agents use, as you may not list pods in namespace default" in err

    code, out, err = await agentid(Lists(agents=[], pods=[]), tmp_path, "discover")
    assert (code, out) == (1, "")
    assert "you may not list secrets in namespace default" in err
    assert "nothing could be looked at. Ask somebody who may" in err


@pytest.mark.parametrize("options", [("--older-than", "old"), ("-A", "-n", "x"), ("-o", "text"), ("one",)])
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["discover", *options]).exit_code == 2
