"""`agentid policy test | schema | simulate` where no cluster is asked: what they print, and how they end."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from agentid.cli.main import app
from agentid.cli.sources import Source
from agentid.policy.schema import schema_text
from devcluster.places import CHECKOUT

POLICIES = CHECKOUT / "deploy" / "policies"
TASK: dict[str, Any] = {
    "apiVersion": "agentid.dev/v1alpha1",
    "kind": "AgentTask",
    "metadata": {"name": "refund-4711", "namespace": "support"},
    "spec": {
        "agentRef": {"name": "refund-agent"},
        "intent": {"purpose": "Refund order 4711", "actions": ["orders:read"], "sensitivity": "Public"},
    },
}
AGENT: dict[str, Any] = {
    "apiVersion": "agentid.dev/v1alpha1",
    "kind": "Agent",
    "metadata": {"name": "refund-agent"},
    "spec": {"owner": "payments-team@example.com", "class": "Ephemeral", "actions": ["orders:read"]},
}
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "support", "labels": {"env": "prod"}},
}
PERMIT = "permit(principal, action, resource);"


def policy(cedar: str = PERMIT, name: str = "default", namespace: str | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "ClusterAgentPolicy" if namespace is None else "AgentPolicy",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {"cedar": cedar},
    }


def agentid(*arguments: str, stdin: str | None = None) -> Result:
    """Run the command in this process; no error gets out of it."""
    result = CliRunner().invoke(app, list(arguments), input=stdin, env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def written(folder: Path, *objects: object, name: str = "objects.yaml") -> str:
    file = folder / name
    file.write_text(yaml.safe_dump_all(objects))
    return str(file)


def simulate(folder: Path, *options: str, objects: tuple[object, ...] = (TASK, AGENT), **more: Any) -> Result:  # noqa: ANN401 - policies
    task = written(folder, *objects, name="task.yaml")
    policies = written(folder, *more.get("policies", (policy(),)), name="policies.yaml")
    who = () if "--as" in options else ("--as", "alice@example.com")
    return agentid("policy", "simulate", "--local", "--task", task, "--policies", policies, *who, *options)


def test_cases_that_hold_end_with_0_and_those_that_do_not_with_1(tmp_path: Path) -> None:
    (tmp_path / "p.cedar").write_text(PERMIT)
    cases = {"cluster": ["p.cedar"], "cases": [{"name": "all", "expect": "allow"}]}
    good, bad = written(tmp_path, cases, name="good.yaml"), tmp_path / "bad.yaml"
    bad.write_text(yaml.safe_dump({**cases, "cases": [{"name": "none", "expect": "deny"}]}))

    held, failed = agentid("policy", "test", good), agentid("policy", "test", good, str(bad))

    assert (held.exit_code, failed.exit_code) == (0, 1)
    assert held.stdout.endswith("1 cases, all hold\n")
    assert "FAIL" in failed.stdout
    assert "expected deny, got allow: allowed by ClusterAgentPolicy/p" in failed.stdout
    assert failed.stdout.endswith("2 cases, 1 failed\n")


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_cases_are_told_to_programs(output: str) -> None:
    result = agentid("policy", "test", str(POLICIES / "refunds.cases.yaml"), "-o", output)
    said = yaml.safe_load(result.stdout)
    assert said["holds"] is True
    assert said["files"][0]["cases"][0]["rules"] == ["AgentPolicy/refunds/large-refunds"]
    assert said["files"][0]["cases"][0]["reason"] == "NeedsApproval"


def test_cases_that_cannot_be_run_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.cedar").write_text("permit(principal, action, resource) when { resource.nope };")
    cases = written(tmp_path, {"cluster": ["p.cedar"], "cases": [{"name": "x", "expect": "allow"}]})
    lost = written(
        tmp_path, {"cluster": ["q.cedar"], "cases": [{"name": "x", "expect": "allow"}]}, name="q.yaml"
    )
    for file, said in (
        (cases, "ClusterAgentPolicy/p: line 1, column"),
        (lost, f"{tmp_path / 'q.cedar'} does not exist"),
        (str(tmp_path / "none.yaml"), "does not exist"),
        (str(tmp_path), "cannot be read"),
        (written(tmp_path, {"cases": []}, name="empty.yaml"), "cases: "),
    ):
        result = agentid("policy", "test", file)
        assert result.exit_code == 1
        assert result.stderr.startswith("agentid policy test: ")
        assert said in result.stderr


def test_the_schema_is_the_published_one() -> None:
    result = agentid("policy", "schema")
    assert result.exit_code == 0
    assert result.stdout == schema_text() == (POLICIES / "agentid.cedarschema").read_text()


@pytest.mark.parametrize(
    ("cedar", "code", "title"),
    [
        (PERMIT, 0, "refund-4711 would be allowed."),
        (
            "permit(principal, action, resource) when { context.approved };",
            1,
            "refund-4711 would wait for an approval.",
        ),
        ('permit(principal, action == Action::"renew", resource);', 1, "refund-4711 would be denied."),
    ],
)
def test_a_simulation_says_what_would_be_decided_and_ends_by_it(
    tmp_path: Path, cedar: str, code: int, title: str
) -> None:
    result = simulate(tmp_path, policies=(policy(cedar),))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (code, title), result.stderr
    assert "asked by   alice@example.com" in result.stdout


def test_a_simulation_is_for_the_time_the_person_and_the_action_that_are_said(tmp_path: Path) -> None:
    cedar = (
        'permit(principal, action == Action::"resume", resource) when { context.hour == 3 &&'
        ' context.requester.username == "bob" && context.requester.groups.contains("night") };'
    )
    options = ("--at", "2026-06-03T03:10:00Z", "--as", "bob", "--as-group", "night", "--action", "resume")
    result = simulate(tmp_path, *options, "-o", "json", policies=(policy(cedar),))
    said = json.loads(result.stdout)
    assert (result.exit_code, said["outcome"], said["action"]) == (0, "allow", "resume")
    assert (said["at"], said["holdsUntil"]) == ("2026-06-03T03:10:00Z", "2026-06-03T04:00:00Z")
    assert said["asked"][0]["facts"] == {
        "context.hour": 3,
        "context.requester.groups": ["night"],
        "context.requester.username": "bob",
    }
    for other in (("--at", "2026-06-03T05:10:00Z"), ("--as", "eve"), ("--action", "issue")):
        changed = simulate(tmp_path, *options, *other, policies=(policy(cedar),))
        assert changed.exit_code == 1


def test_a_requester_in_the_file_is_who_asks_unless_another_is_said(tmp_path: Path) -> None:
    stamped = {**TASK, "spec": {**TASK["spec"], "requester": {"username": "carol@example.com"}}}
    file = written(tmp_path, stamped, AGENT)
    drafts = written(tmp_path, policy(), name="p.yaml")
    said = [
        json.loads(
            agentid(
                "policy", "simulate", "--local", "--task", file, "--policies", drafts, "-o", "json", *who
            ).stdout
        )["task"]["requester"]
        for who in ((), ("--as", "bob"))
    ]
    assert said == ["carol@example.com", "bob"]


def test_what_nobody_says_is_told_only_where_a_policy_asks_for_it(tmp_path: Path) -> None:
    def unknown(cedar: str, *options: str, objects: tuple[object, ...] = (TASK, AGENT)) -> str:
        own = (policy(), policy(cedar, "own", "support"))
        result = simulate(tmp_path, *options, "-o", "json", objects=objects, policies=own)
        return " ".join(json.loads(result.stdout)["notKnown"])

    region = (
        'permit(principal, action, resource) when { context.environment.clusterLabels.hasTag("region") };'
    )
    env = 'permit(principal, action, resource) when { context.environment.namespaceLabels.hasTag("env") };'
    domain = 'permit(principal, action, resource) when { context.environment.trustDomain == "a.b" };'
    assert unknown(PERMIT) == ""
    assert "cluster's labels" in unknown(region)
    assert unknown(region, "--cluster-label", "region=eu") == ""
    assert "trust domain" in unknown(domain)
    assert unknown(domain, "--trust-domain", "a.b") == ""
    assert "labels of the namespace" in unknown(env)
    assert unknown(env, objects=(TASK, AGENT, NAMESPACE)) == ""


def test_labels_and_pods_of_the_file_are_asked_about(tmp_path: Path) -> None:
    cedar = (
        "permit(principal, action, resource) when {"
        ' context.environment.namespaceLabels.hasTag("env") && context.images.contains("refund:v1") };'
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "labels": {"agentid.dev/task": "refund-4711"}},
        "spec": {"serviceAccountName": "refund-agent", "containers": [{"name": "a", "image": "refund:v1"}]},
    }
    bound = {**TASK, "spec": {**TASK["spec"], "workload": {}}}
    agent = {**AGENT, "spec": {**AGENT["spec"], "serviceAccounts": ["refund-agent"]}}
    codes = [
        simulate(tmp_path, objects=objects, policies=(policy(cedar),)).exit_code
        for objects in ((bound, agent, NAMESPACE, pod), (bound, agent, NAMESPACE), (bound, agent, pod))
    ]
    assert codes == [0, 1, 1]


def test_a_task_over_its_agents_ceiling_would_be_denied_whatever_policy_permits(tmp_path: Path) -> None:
    more = {**TASK, "spec": {**TASK["spec"], "intent": {"purpose": "x", "actions": ["orders:delete"]}}}
    result = simulate(tmp_path, objects=(more, AGENT))
    assert result.exit_code == 1
    assert "intent.actions asks for orders:delete, which Agent refund-agent does not list" in result.stdout


@pytest.mark.parametrize(
    ("objects", "policies", "said"),
    [
        ((AGENT,), (policy(),), "task.yaml holds no AgentTasks"),
        ((TASK, TASK, AGENT), (policy(),), "task.yaml holds 2 AgentTasks"),
        ((TASK,), (policy(),), "does not hold Agent refund-agent"),
        (({**TASK, "spec": {"agentRef": {"name": "x"}}}, AGENT), (policy(),), "does not hold Agent x"),
        (({**TASK, "spec": {**TASK["spec"], "colour": 1}}, AGENT), (policy(),), "colour"),
        ((TASK, AGENT), (AGENT,), "policies.yaml holds no ClusterAgentPolicy and no AgentPolicy"),
        ((TASK, AGENT), (policy(), policy()), "ClusterAgentPolicy default stands twice"),
        ((TASK, AGENT), (policy("permit(;"),), "policies.yaml: ClusterAgentPolicy/default: line 1, column 8"),
        ((TASK, AGENT), ({**policy(), "spec": {}},), "cedar"),
    ],
)
def test_files_that_cannot_be_used_are_named_with_what_is_wrong(
    tmp_path: Path, objects: tuple[object, ...], policies: tuple[object, ...], said: str
) -> None:
    result = simulate(tmp_path, objects=objects, policies=policies)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert said in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("policy", "test"),
        ("policy", "test", "x", "-o", "xml"),
        ("policy", "simulate", "--local", "--task", "x"),
        ("policy", "simulate", "--local", "--task", "x", "--policies", "live+x"),
        ("policy", "simulate", "--local", "--task", "x", "--policies", "live"),
        ("policy", "simulate", "--task", "x", "--at", "yesterday"),
        ("policy", "simulate", "--task", "x", "--as-group", "g"),
        ("policy", "simulate", "--task", "x", "--cluster-label", "region"),
        ("policy", "simulate", "--task", "x", "--action", "use"),
        ("policy", "diff", "live"),
        ("policy", "diff", "live", "live", "-A", "-n", "x"),
        ("why",),
        ("end", "x"),
        ("end", "--reason", "because"),
        ("end", "x", "--agent", "y", "--reason", "because"),
        ("end", "-l", "", "--reason", "because"),
        ("end", "--selector", " ", "-A", "--reason", "because"),
        ("end", "--agent", "", "--reason", "because"),
        ("end", "--agent", "y", "-l", "", "--reason", "because"),
        ("suspend", "--requester", "", "--reason", "because"),
        ("resume", "--on-behalf-of", "", "--reason", "because"),
        ("suspend", "x", "-A", "--reason", "because"),
        ("end", "x", "--reason", "because", "-n", ".."),
        ("why", "x", "-n", ""),
        ("resume", "x", "--reason", "two\nlines"),
        ("resume", "x", "--reason", "x" * 257),
        ("end", "x", "--reason", "because", "--timeout", "0"),
        ("nothing",),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    result = agentid(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("why", "x"),
        ("policy", "diff", "live", "live"),
        ("end", "x", "--reason", "because"),
        ("policy", "simulate", "--task", "-"),
    ],
)
def test_no_way_to_a_cluster_ends_with_1_and_one_sentence(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    missing = tmp_path / "none"
    result = agentid(*arguments, "--kubeconfig", str(missing), stdin=yaml.safe_dump(TASK))
    assert result.exit_code == 1
    assert f"there is no kubeconfig {missing}" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_file_may_be_called_as_what_is_in_force_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    task = written(tmp_path, TASK, AGENT, name="task.yaml")
    policies = Path(written(tmp_path, policy(), name="livep.yaml")).name
    result = agentid(
        "policy", "simulate", "--local", "--task", task, "--policies", policies, "--as", "alice@example.com"
    )
    assert result.exit_code == 0, result.stderr


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command prints on a terminal."""
    ours, its = os.openpty()
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "FORCE_COLOR"}}
    try:
        subprocess.run(
            [sys.executable, "-m", "agentid", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=its,
            env={**kept, "TERM": "xterm-256color", **environment},
            timeout=60,
            check=True,
        )
        return os.read(ours, 65536).decode()
    finally:
        os.close(its)
        os.close(ours)


def test_colour_is_for_terminals_only_and_never_with_no_color(tmp_path: Path) -> None:
    task, policies = written(tmp_path, TASK, AGENT, name="t.yaml"), written(tmp_path, policy(), name="p.yaml")
    asked = ("policy", "simulate", "--local", "--task", task, "--policies", policies, "--as", "alice")
    green = re.compile(r"\x1b\[[0-9;]*3[0-9]")

    assert green.search(on_a_terminal(*asked))
    assert not green.search(on_a_terminal(*asked, NO_COLOR="1"))
    assert "\x1b" not in agentid(*asked).stdout


def test_where_policies_are_from_is_read_from_one_word() -> None:
    assert Source.read("live") == Source(True, None)
    assert Source.read("live+drafts/x") == Source(True, Path("drafts/x"))
    assert Source.read("./live") == Source(False, Path("live"))
