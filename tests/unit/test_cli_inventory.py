"""Which credentials are live, whose they are, and what is said where that cannot be seen."""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agentid.api.fields import format_time
from agentid.cli.holdings import grouped, holding_of
from agentid.cli.main import app
from agentid.cli.options import By, duration
from tests.unit.listing_server import Lists, agentid

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON = timedelta(minutes=5)


def credential(serial: str = "4f9a", until: datetime = NOW + SOON) -> dict[str, Any]:
    return {"generation": 1, "serial": serial, "notBefore": format_time(NOW), "notAfter": format_time(until)}


def task(name: str = "one", *credentials: dict[str, Any], agent: str = "refund-agent") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "default", "name": name, "uid": f"u-{name}"},
        "spec": {
            "agentRef": {"name": agent},
            "requester": {"username": "alice"},
            "onBehalfOf": "carol@example.com",
        },
        "status": {"spiffeID": f"spiffe://demo.local/{name}", "credentials": list(credentials)},
    }


def lives(name: str, minutes: float = 5, agent: str = "refund-agent") -> dict[str, Any]:
    """A task whose credential lives for so long from now, by a real clock."""
    return task(name, credential(until=datetime.now(UTC) + timedelta(minutes=minutes)), agent=agent)


def agent(name: str = "refund-agent", owner: str = "payments-team") -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": name}, "spec": {"owner": owner}}


def over(status: str) -> dict[str, Any]:
    ended = task("one", credential())
    ended["status"]["conditions"] = [{"type": "Finished", "status": status, "reason": "Ended"}]
    return ended


@pytest.mark.parametrize(
    ("body", "serials"),
    [
        (task("one"), None),
        (task("one", credential(until=NOW)), None),
        (task("one", credential("a", NOW - SOON), credential("b")), ["b"]),
        (task("one", credential("a"), credential("b")), ["a", "b"]),
        (over("True"), None),
        (over("False"), ["4f9a"]),
        ({**task("one", credential()), "metadata": {"deletionTimestamp": format_time(NOW)}}, ["4f9a"]),
        (task("one", {"serial": "a", "notAfter": "some day"}), ["a"]),
        ({"status": None}, None),
    ],
    ids=["none", "past", "renewed", "both", "ended", "runs", "being-deleted", "unreadable", "odd"],
)
def test_what_is_held_is_what_the_status_has_and_is_not_past(
    body: dict[str, Any], serials: list[str] | None
) -> None:
    holding = holding_of(body, NOW)
    assert (holding and [each.serial for each in holding.credentials]) == serials


def test_the_end_of_what_a_task_holds_is_that_of_the_last_credential_and_unknown_where_one_is() -> None:
    later = NOW + 2 * SOON
    held = holding_of(task("one", credential(until=later), credential()), NOW)
    unreadable = holding_of(task("one", credential(), {"serial": "a"}), NOW)
    assert held is not None
    assert unreadable is not None
    assert (held.expires, held.expires_by(NOW + SOON), held.expires_by(later)) == (later, False, True)
    assert (unreadable.expires, unreadable.expires_by(NOW)) == (None, True)


def test_a_childs_delegator_is_the_uppermost_tasks() -> None:
    child = task("one", credential())
    child["spec"]["onBehalfOf"] = None
    child["status"]["delegation"] = {"delegator": "dora@example.com"}
    held = holding_of(child, NOW)
    assert held is not None
    assert held.delegator == "dora@example.com"


def test_live_steps_and_static_secrets_are_told() -> None:
    body = task("one", credential())
    body["status"] |= {
        "staticSecrets": [{"name": "legacy-crm-key", "version": "ab"}],
        "grants": [
            {"name": "pay", "actions": ["refunds:create"], "until": format_time(NOW + SOON)},
            {"name": "paid", "actions": ["orders:read"], "until": format_time(NOW)},
        ],
    }
    held = holding_of(body, NOW)
    assert held is not None
    assert [(each.step, each.actions) for each in held.grants] == [("pay", ("refunds:create",))]
    assert held.static_secrets == ("legacy-crm-key",)


def test_they_are_counted_by_agent_owner_and_delegator() -> None:
    bodies = [
        task("a", credential(), credential()),
        task("b", credential(until=NOW + 2 * SOON), agent="other"),
        task("c", credential(until=NOW + 3 * SOON)),
        task("d", credential(), agent="unowned"),
    ]
    holdings = [each for body in bodies if (each := holding_of(body, NOW)) is not None]
    owners = {("default", "refund-agent"): "payments", ("default", "other"): "payments"}

    of_agents = [(each.of, each.tasks, each.credentials) for each in grouped(holdings, By.AGENT, owners)]
    assert of_agents == [("refund-agent", 2, 3), ("other", 1, 1), ("unowned", 1, 1)]
    first, nobodys = grouped(holdings, By.OWNER, owners)
    assert (first.of, first.tasks, first.first, first.last) == ("payments", 3, NOW + SOON, NOW + 3 * SOON)
    assert (nobodys.of, nobodys.tasks) == (None, 1)
    assert [each.of for each in grouped(holdings, By.DELEGATOR, owners)] == ["carol@example.com"]


async def test_they_are_listed_soonest_expired_first_with_their_owners(tmp_path: Path) -> None:
    server = Lists(agenttasks=[lives("later", 9), lives("sooner", 4), task("none")], agents=[agent()])
    code, out, err = await agentid(server, tmp_path, "inventory", "-o", "wide")
    assert code == 0
    assert out.splitlines()[0].split() == [
        *("TASK", "AGENT", "OWNER", "DELEGATOR", "EXPIRES"),
        *("POD", "SERIAL", "GRANTS", "STATIC-SECRETS", "SPIFFE-ID"),
    ]
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[:4] for row in rows] == [
        ["sooner", "refund-agent", "payments-team", "carol@example.com"],
        ["later", "refund-agent", "payments-team", "carol@example.com"],
    ]
    assert rows[0][6:] == ["4f9a", "<none>", "<none>", "spiffe://demo.local/sooner"]
    assert "2 live credentials of 2 tasks" in err


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((), {"one", "two", "later"}),
        (("--agent", "other"), {"two"}),
        (("--owner", "payments-team"), {"one", "later"}),
        (("--owner", "nobody"), set()),
        (("--on-behalf-of", "carol@example.com"), {"one", "two", "later"}),
        (("--on-behalf-of", "dora@example.com"), set()),
        (("--requester", "bob"), set()),
        (("--expiring-within", "6m"), {"one", "two"}),
    ],
)
async def test_only_what_fits_is_listed(tmp_path: Path, options: tuple[str, ...], names: set[str]) -> None:
    tasks = [lives("one"), lives("two", agent="other"), lives("later", 30)]
    server = Lists(agenttasks=tasks, agents=[agent(), agent("other", "other-team")])
    code, out, _ = await agentid(server, tmp_path, "inventory", "-o", "name", *options)
    assert (code, set(out.split())) == (0, {f"agenttask.agentid.dev/{each}" for each in names})


async def test_what_cannot_be_seen_is_said_and_not_guessed(tmp_path: Path) -> None:
    blind = Lists(agenttasks=[lives("one")])
    code, out, err = await agentid(blind, tmp_path, "inventory")
    assert code == 0
    assert out.splitlines()[1].split()[2] == "<unknown>"
    assert "not known to you: who owns the agents, as you may not list agents.agentid.dev" in err

    code, out, _ = await agentid(blind, tmp_path, "inventory", "--by", "owner", "-o", "json")
    assert (code, json.loads(out)["groups"][0]["owner"]) == (0, None)
    assert "you may not list agents" in json.loads(out)["notKnown"][0]

    code, out, err = await agentid(blind, tmp_path, "inventory", "--owner", "payments-team")
    assert (code, out) == (1, "")
    assert "you cannot know who owns the agents" in err

    code, _, err = await agentid(Lists(agenttasks=[lives("one")], agents=[]), tmp_path, "inventory")
    assert "who owns Agent default/refund-agent, which is not there" in err

    for options, said in ((("-A",), "in all namespaces; name a namespace"), ((), "in namespace default.")):
        code, out, err = await agentid(Lists(agents=[]), tmp_path, "inventory", *options)
        assert (code, out) == (1, "")
        assert f"you may not list agenttasks.agentid.dev {said}" in err


async def test_ten_thousand_tasks_are_listed_by_pages_and_not_kept(tmp_path: Path) -> None:
    tasks = [lives(f"n-{number}") for number in range(10_000)]
    padding = {"padding": "x" * 4_000}  # 40 MB of pages
    for each in tasks:
        each["metadata"]["annotations"] = padding
    server = Lists(agenttasks=tasks, agents=[agent()])
    tracemalloc.start()
    try:
        code, out, _ = await agentid(server, tmp_path, "inventory", "--by", "agent", "-o", "json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (group,) = json.loads(out)["groups"]
    assert (code, group["tasks"]) == (0, 10_000)
    assert len(list(server.of("agenttasks"))) == 200
    assert peak < 20_000_000, peak


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("30d", 2_592_000), ("0s", 0), ("1d1h1m1s", 90_061)],
)
def test_durations_are_read(given: str, seconds: int) -> None:
    assert duration(given, "--x") == timedelta(seconds=seconds)


@pytest.mark.parametrize("given", ["", "5", "m", "-5m", "5 m", "5m\n", "1.5h", "5m1h", "٣m", "9" * 40 + "d"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration(given, "--x")


@pytest.mark.parametrize(
    "options",
    [
        ("--by", "pod"),
        ("--by", "agent", "-o", "name"),
        ("--expiring-within", "soon"),
        ("--agent", ""),
        ("--owner", " "),
        ("-A", "-n", "default"),
        ("-o", "text"),
        ("one",),
    ],
)
def test_wrong_usage_ends_with_2(options: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, ["inventory", *options]).exit_code == 2
