"""`agentid discover` on a real API server: what it finds, for whom, and that no contents leave the server."""

import json
from base64 import b64encode
from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from tests.cluster import playing, story
from tests.cluster.callers import Ended, agentid, caller, names_of, user_of
from tests.cluster.objects import ACCOUNT, AGENT, ANY_POD, pod, secret, service_account, task

VALUE = "hunter2-of-the-crm"
NOW = ("--older-than", "0s")


def of_type(name: str, kind: str, **data: str) -> Object:
    """A Secret of a type."""
    return {**secret(name, **data), "type": kind}


def token_of(account: str, name: str) -> Object:
    """A Secret that is filled with a token which never expires."""
    made = of_type(name, "kubernetes.io/service-account-token")
    made["metadata"] |= {"annotations": {"kubernetes.io/service-account.name": account}}
    return made


@pytest.fixture
def littered(team: Kubectl) -> Kubectl:
    """A namespace in which agents use standing credentials, and others do too."""
    team.create(service_account("others"))
    team.create(
        [
            token_of(ACCOUNT, "agents-token"),
            token_of("others", "others-token"),
            of_type("shown", "kubernetes.io/tls", **{"tls.crt": VALUE, "tls.key": VALUE}),
            of_type("logs-in", "kubernetes.io/basic-auth", username="crm", password=VALUE),
            secret("in-env", token=VALUE),
            secret("in-volume", token=VALUE),
            secret("unused", token=VALUE),
            of_type("of-a-kind-of-its-own", "example.com/own", token=VALUE),
            secret("not-an-agents", token=VALUE),
        ]
    )
    volumes = [
        {"name": "a", "secret": {"secretName": "in-volume"}},
        {"name": "b", "projected": {"sources": [{"secret": {"name": "shown"}}]}},
        {"name": "c", "secret": {"secretName": "of-a-kind-of-its-own"}},
    ]
    container = {
        "name": "agent",
        "image": "agent:1",
        "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "in-env", "key": "token"}}}],
        "envFrom": [{"secretRef": {"name": "logs-in"}}],
    }
    other = [{"name": "a", "secret": {"secretName": "not-an-agents"}}]
    team.create(
        [
            pod("agents", of=None, volumes=volumes, containers=[container]),
            pod("others", of=None, account="others", volumes=other),
            task("one", **ANY_POD),
            pod("at-work", of="one"),
        ]
    )
    playing.scheduled(team, "at-work")
    story.runs(team, "one")
    return team


@pytest.fixture
def keeper(cluster: ControlPlane, littered: Kubectl, tmp_path: Path) -> Path:
    """Somebody who may do everything in the namespace."""
    return caller(cluster, littered, "keeper", tmp_path, "edit", "agentid-viewer")


def found(config: Path, *options: str) -> Ended:
    ended = agentid(config, "discover", *NOW, "-o", "json", *options)
    assert ended.code == 0, ended
    return ended


def test_standing_credentials_of_agents_are_found_with_who_uses_them(littered: Kubectl, keeper: Path) -> None:
    said = found(keeper).said

    assert (
        littered.get("secret", "agentid-one")["type"] == "kubernetes.io/tls"
    )  # a task's own is none of them
    seen = {
        each["name"]: (each["kind"], each["agents"], each["pods"], each["by"]) for each in said["findings"]
    }
    assert seen == {
        "agents-token": ("service-account-token", [AGENT], [], []),
        "others-token": ("service-account-token", [], [], []),
        "shown": ("tls", [AGENT], ["agents"], ["projected"]),
        "logs-in": ("basic-auth", [AGENT], ["agents"], ["envFrom"]),
        "in-env": ("opaque", [AGENT], ["agents"], ["env"]),
        "in-volume": ("opaque", [AGENT], ["agents"], ["volume"]),
    }
    assert said["findings"][0]["serviceAccount"] == ACCOUNT
    assert all(each["next"] for each in said["findings"])
    assert said["notKnown"] == []


def test_what_is_young_is_left_out_and_counted_but_tokens_never_are(keeper: Path) -> None:
    ended = agentid(keeper, "discover")
    assert ended.code == 0, ended
    rows = [line.split()[0] for line in ended.out.split("What to do")[0].splitlines()]
    assert rows == ["SECRET", "agents-token", "others-token"]
    assert "4 that agents use are younger than 24h" in ended.err


def test_no_contents_of_a_secret_leave_the_api_server(
    cluster: ControlPlane, littered: Kubectl, keeper: Path
) -> None:
    since = cluster.audit_position()

    findings = found(keeper).said["findings"]

    asked = [
        event
        for event in cluster.audit(since, user=user_of(littered, "keeper"))
        if event.get("objectRef", {}).get("resource") == "secrets"
    ]
    answers = [event["responseObject"] for event in asked]
    assert {event["verb"] for event in asked} == {"list"}
    assert {each["kind"] for each in answers} == {"PartialObjectMetadataList"}
    sent_of = [item for each in answers for item in each["items"] or ()]
    assert {item["metadata"]["name"] for item in sent_of} >= set(names_of(findings))
    assert all(set(item) <= {"kind", "apiVersion", "metadata"} for item in sent_of)
    sent = json.dumps(answers)
    token = littered.get("secret", "agents-token")["data"]["token"]
    assert not [each for each in (VALUE, b64encode(VALUE.encode()).decode(), token) if each in sent]


def test_it_fails_where_there_are_findings_only_if_that_is_asked(littered: Kubectl, keeper: Path) -> None:
    assert agentid(keeper, "discover").code == 0
    assert agentid(keeper, "discover", "--exit-code").code == 1
    for each in ("agents-token", "others-token"):
        littered.delete("secret", each)
    assert agentid(keeper, "discover", "--exit-code").code == 0


def test_who_may_not_list_secrets_is_told_that_nothing_was_looked_at(
    cluster: ControlPlane, littered: Kubectl, keeper: Path, tmp_path: Path
) -> None:
    viewer = caller(cluster, littered, "viewer", tmp_path, "view")
    for config, options, where in (
        (viewer, (), f"in namespace {littered.namespace}"),
        (keeper, ("-A",), "in all namespaces"),
    ):
        refused = agentid(config, "discover", *options)
        assert (refused.code, refused.out) == (1, "")
        assert f"you may not list secrets {where}" in refused.err
        assert "nothing could be looked at" in refused.err


def test_who_may_not_see_agents_or_pods_is_told_what_that_hides(
    cluster: ControlPlane, littered: Kubectl, tmp_path: Path
) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"lists-secrets-{littered.namespace}"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}],
    }
    littered.create(role)
    try:
        half_blind = caller(cluster, littered, "half-blind", tmp_path, role["metadata"]["name"])
        said = found(half_blind).said
        assert names_of(said["findings"]) == ["agents-token", "others-token"]
        assert "as you may not list agents.agentid.dev" in said["notKnown"][0]
        assert "as you may not list pods" in said["notKnown"][1]
        assert agentid(half_blind, "discover", "--exit-code", "-o", "name").code == 1
    finally:
        littered.delete("clusterrole", role["metadata"]["name"])


def test_all_namespaces_are_for_those_who_may_see_them(cluster: ControlPlane, littered: Kubectl) -> None:
    said = found(cluster.kubeconfig, "-A").said
    here = [each for each in said["findings"] if each["namespace"] == littered.namespace]
    assert "in-env" in names_of(here)
