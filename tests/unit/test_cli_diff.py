"""What other policies are to live tasks: by what is asked now, and by what is asked at their renewal."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from typer.testing import CliRunner

from agentid.api.agent import AgentSpec
from agentid.api.agentsecret import AgentSecretSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.spec_hash import hash_of, projection_text, spec_hash
from agentid.cli.main import app
from agentid.cli.policy_diff import Effect, compare
from agentid.cli.surroundings import CLUSTER_LABELS, Surroundings
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.model import AgentFacts
from agentid.watched.policies import Policies
from tests.unit.plain_server import serving
from tests.unit.policy_objects import Installed, policy

NOW = datetime(2026, 6, 3, 10, 0, tzinfo=UTC)
ISSUE = 'permit(principal, action == Action::"issue", resource);'
ALL = "permit(principal, action, resource);"
APPROVED = "permit(principal, action, resource) when { context.approved };"
SPEC: dict[str, Any] = {
    "agentRef": {"name": "refund-agent"},
    "intent": {"purpose": "Refund order 4711", "actions": ["orders:read"]},
    "requester": {"username": "alice@example.com"},
}
RUNNING: dict[str, Any] = {
    "specHash": spec_hash(AgentTaskSpec.model_validate(SPEC)),
    "startTime": "2026-06-03T09:59:00Z",
    "deadline": "2026-06-03T11:00:00Z",
    "credentialGeneration": 1,
    "credentials": [
        {
            "generation": 1,
            "serial": "ab",
            "notBefore": "2026-06-03T09:58:00Z",
            "notAfter": "2026-06-03T10:04:00Z",
        }
    ],
    "conditions": [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "m",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-06-03T09:59:00Z",
        }
        for kind, status, reason in (("CredentialIssued", "True", "Issued"), ("Finished", "False", "Running"))
    ],
}


def task(status: dict[str, Any] | None = None, **spec: object) -> dict[str, Any]:
    metadata = {"namespace": "support", "name": "one", "uid": "5c0e0000-0000-4000-8000-000000000001"}
    return {
        "metadata": {
            **metadata,
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": "2026-06-03T09:58:00Z",
        },
        "spec": {**SPEC, **spec},
        "status": status or {},
    }


def around(agent: bool = True) -> Surroundings:  # noqa: FBT001, FBT002 - a table
    spec = AgentSpec.model_validate({"owner": "o", "class": "Ephemeral", "actions": ["orders:read"]})
    key = ("support", "refund-agent")
    return Surroundings(agents={key: AgentFacts("u", False, spec) if agent else None}, labels={"support": {}})


async def policies(*texts: str) -> Policies:
    installed = Installed()
    await installed.take(*(policy(text, name=f"p{n}", uid=f"u-{n}") for n, text in enumerate(texts)))
    return installed.policies


@pytest.mark.parametrize(
    ("old", "new", "status", "effect"),
    [
        (ALL, ALL, None, None),
        (ALL, APPROVED, None, Effect.LOSES),
        (APPROVED, ALL, None, Effect.GAINS),
        (ISSUE, ALL, None, None),
        (ALL, ISSUE, RUNNING, Effect.LOSES),
        (APPROVED, "forbid(principal, action, resource);", None, Effect.CHANGES),
        (ALL, "forbid(principal, action, resource);", RUNNING, Effect.LOSES),
    ],
    ids=["same", "loses", "gains", "issue-is-all", "at-renewal", "no-approval-helps", "forbidden"],
)
async def test_a_task_loses_or_gains_by_what_the_operator_would_ask(
    old: str, new: str, status: dict[str, Any] | None, effect: Effect | None
) -> None:
    found, unasked, gaps = compare([task(status)], around(), (await policies(old), await policies(new)), NOW)
    assert [each.effect for each in found] == ([] if effect is None else [effect])
    assert (unasked, gaps) == (0, [])


async def test_a_task_that_is_not_renewed_loses_nothing_by_what_forbids_renewal() -> None:
    once = {"credential": {"renew": False, "ttlSeconds": 300}}
    status = {**RUNNING, "specHash": spec_hash(AgentTaskSpec.model_validate({**SPEC, **once}))}
    both = (await policies(ALL), await policies(ISSUE))
    assert compare([task(status, **once)], around(), both, NOW)[0] == []


async def test_a_task_without_an_agent_is_not_asked_about() -> None:
    both = (await policies(ALL), await policies(APPROVED))
    assert compare([task()], around(agent=False), both, NOW) == ([], 1, [])


async def test_what_a_policy_reads_and_the_caller_cannot_see_is_told_once() -> None:
    unseen = around()
    unseen.gap([CLUSTER_LABELS], "the cluster's labels")
    labelled = 'permit(principal, action, resource) when { context.environment.clusterLabels.hasTag("x") };'
    both = (await policies(ALL), await policies(labelled))
    found, _, gaps = compare([task(), task(RUNNING)], unseen, both, NOW)
    assert [each.effect for each in found] == [Effect.LOSES, Effect.LOSES]
    assert gaps == ["the cluster's labels"]


async def test_those_who_lose_come_first() -> None:
    gaining, losing = task(), task(RUNNING)
    by_name = 'permit(principal, action, resource) when { resource.name == "one" };'
    gaining["metadata"]["name"] = "two"
    both = await policies(by_name), await policies(by_name.replace("one", "two"))
    found, _, _ = compare([gaining, losing], around(), both, NOW)
    assert [each.effect for each in found] == [Effect.LOSES, Effect.GAINS]


CRM = {"staticSecrets": [{"name": "crm"}]}
NO_SECRETS = 'forbid(principal, action == Action::"useSecret", resource);'


def with_secret(**spec: object) -> Surroundings:
    declared = {
        "source": {"secretName": "crm", "key": "token"},
        "agents": [{"namespace": "support", "name": "refund-agent"}],
        "actions": ["orders:read"],
        "maxTTLSeconds": 86400,
    }
    seen = around()
    seen.static_secrets = {"crm": AgentSecretSpec.model_validate({**declared, **spec})}
    return seen


async def test_static_secrets_are_asked_about_as_the_operator_does() -> None:
    both = (await policies(ALL), await policies(ALL, NO_SECRETS))
    found, _, gaps = compare([task(**CRM)], with_secret(), both, NOW)
    assert [each.effect for each in found] == [Effect.LOSES]
    assert gaps == []


async def test_a_static_secret_that_cannot_be_seen_is_told_and_not_asked_about() -> None:
    both = (await policies(ALL), await policies(ALL, NO_SECRETS))
    found, unasked, gaps = compare([task(**CRM)], around(), both, NOW)
    assert (found, unasked, gaps) == ([], 0, ["AgentSecret crm, which is not asked about"])


async def test_a_static_secret_for_others_is_in_the_way_whatever_policy_says() -> None:
    others = with_secret(agents=[{"namespace": "sales", "name": "quote-agent"}])
    both = (await policies(ALL), await policies(NO_SECRETS))
    assert compare([task(**CRM)], others, both, NOW)[0] == []


def approval(of: dict[str, Any], who: str) -> dict[str, Any]:
    text = projection_text(AgentTaskSpec.model_validate(of["spec"]))
    return {
        "metadata": {"namespace": "support", "name": f"by-{who}", "uid": "a", "resourceVersion": "1"},
        "spec": {
            "taskRef": {"name": of["metadata"]["name"], "uid": of["metadata"]["uid"]},
            "specHash": hash_of(text),
            "intentGeneration": 1,
            "projection": text,
            "decision": "Approve",
            "expiresAt": "2026-06-03T11:00:00Z",
            "approver": {"username": who},
        },
    }


@pytest.mark.parametrize(("who", "effect"), [("erin", []), ("alice@example.com", [Effect.LOSES])])
async def test_approvals_count_as_they_do_for_the_operator(who: str, effect: list[Effect]) -> None:
    one = task()
    seen = around()
    seen.approvals.take(approval(one, who))
    found, _, _ = compare([one], seen, (await policies(ALL), await policies(APPROVED)), NOW)
    assert [each.effect for each in found] == effect


def below(**spec: object) -> dict[str, Any]:
    made = task(parentRef={"name": "above", "uid": "5c0e0000-0000-4000-8000-000000000009"}, **spec)
    made["spec"]["requester"] = {"username": "alice@example.com", "mayDelegate": True}
    return made


def with_parent() -> Surroundings:
    parent = task(RUNNING, onBehalfOf="carol@example.com")
    parent["metadata"] |= {"name": "above", "uid": "5c0e0000-0000-4000-8000-000000000009"}
    seen = around()
    seen.above = {("support", "above"): PackedTask.of(parent).facts()}
    return seen


CHAINED = """permit(principal, action, resource)
when { context has parent && context has delegator && context.delegator == "carol@example.com" };"""


async def test_the_tasks_above_are_part_of_what_is_asked() -> None:
    found, _, _ = compare([below()], with_parent(), (await policies(ALL), await policies(CHAINED)), NOW)
    assert found == []
    forbid = 'forbid(principal, action == Action::"delegate", resource);'
    found, _, _ = compare([below()], with_parent(), (await policies(ALL), await policies(ALL, forbid)), NOW)
    assert [each.effect for each in found] == [Effect.LOSES]


async def test_what_is_wider_than_its_parent_is_denied_whatever_policy_says() -> None:
    wider = below(activeDeadlineSeconds=86400)
    found, _, _ = compare([wider], with_parent(), (await policies(ALL), await policies(APPROVED)), NOW)
    assert found == []


async def test_only_tasks_with_the_labels_that_are_said_are_compared(tmp_path: Path) -> None:
    tasks = []
    for name, team in (("hers", "blue"), ("others", "red")):
        tasks.append(task())
        tasks[-1]["metadata"] |= {"namespace": "default", "name": name, "labels": {"team": team}}
    agent = {
        "metadata": {"namespace": "default", "name": "refund-agent", "uid": "u-a"},
        "spec": {"owner": "o", "class": "Ephemeral", "actions": ["orders:read"]},
    }

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path.endswith("/agents/refund-agent"):
            return web.json_response(agent)
        if request.path == "/api/v1/namespaces/default":
            return web.json_response({"metadata": {"name": "default"}})
        key, _, value = request.query.get("labelSelector", "").partition("=")
        asked = tasks if request.path.endswith("/agenttasks") else []
        items = [each for each in asked if not key or each["metadata"]["labels"].get(key) == value]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    draft = tmp_path / "draft.yaml"
    spec = {"cedar": ALL}
    draft.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "agentid.dev/v1alpha1",
                "kind": "ClusterAgentPolicy",
                "metadata": {"name": "all"},
                "spec": spec,
            }
        )
    )
    async with serving(answer, tmp_path) as kubeconfig:
        told = ["policy", "diff", "live", f"live+{draft}", "-o", "json", "--kubeconfig", str(kubeconfig)]
        all_of_them = await asyncio.to_thread(CliRunner().invoke, app, told)
        labelled = await asyncio.to_thread(CliRunner().invoke, app, [*told, "-l", "team=blue"])

    for ended, gain in ((all_of_them, ["hers", "others"]), (labelled, ["hers"])):
        assert ended.exit_code == 0, ended.stderr
        said = json.loads(ended.stdout)
        assert [(each["effect"], each["task"]["name"]) for each in said["differences"]] == [
            ("gains", each) for each in gain
        ]
        assert said["liveTasks"] == len(gain)
