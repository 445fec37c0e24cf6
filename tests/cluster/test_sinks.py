"""The record at an HTTP receiver that has to get it: all of it comes, and without it nothing is issued."""

import json
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import ledgers, story
from tests.cluster.objects import TASK, task

pytestmark = pytest.mark.timeout(600)  # the receiver gets the whole ledger of the session first

SLOWLY = timedelta(seconds=90)
LOOPBACK = "127.0.0.1"


class Receiver(ThreadingHTTPServer):
    """Takes events, or refuses them while it is down.

    Attributes:
        is_down: Whether it answers with 503.
        events: What it has taken, by their IDs.
    """

    is_down = False

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), Handler)
        self.events: dict[str, dict[str, Any]] = {}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/record"

    def kinds(self, uid: str) -> list[str]:
        """The kinds of what it has of a task."""
        return [each["data"]["kind"] for each in list(self.events.values()) if each.get("subject") == uid]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take the events of one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.server.is_down:
            self.server.events |= {each["id"]: each for each in json.loads(body)}
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if self.server.is_down else HTTPStatus.ACCEPTED)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def telling(
    cluster: ControlPlane, place: Kubectl, operator_of_session: OperatorProcess, receiver: Receiver
) -> Iterator[OperatorProcess]:
    """An operator whose record has to reach the receiver within two seconds, instead of the session's."""
    assert place.namespace
    if operator_of_session.alive():
        operator_of_session.terminate()
    settings = {
        "AGENTID_SINK_HTTP_URL": receiver.url,
        "AGENTID_SINK_HTTP_ALLOW_ADDRESSES": json.dumps([f"{LOOPBACK}/32"]),
        "AGENTID_SINK_PATIENCE_SECONDS": "2",
    }
    process = OperatorProcess(cluster, "tells", settings)
    process.start(wait=False)
    # It gets all that there is of the ledger first.
    process.wait_ready(timedelta(minutes=5))
    yield process
    process.terminate()


def test_without_its_required_receiver_nothing_is_issued_ends_go_on_and_it_gets_all_afterwards(
    place: Kubectl, admin: Kubectl, telling: OperatorProcess, receiver: Receiver
) -> None:
    place.create([task("ends"), task("goes-on")])
    ends, _ = (story.runs(place, name, SLOWLY) for name in ("ends", "goes-on"))
    uid = ends["metadata"]["uid"]
    wait_until("the receiver has its issue", lambda: receiver.kinds(uid), lambda seen: seen == ["issued"])

    receiver.is_down = True
    place.patch("agenttask", "ends", {"spec": {"state": "Ended"}})
    story.ends(place, "Ended", "ends")
    story.secret_gone_or_empty(place, "ends")
    wait_until(
        "nothing is issued any more",
        lambda: telling.metric("agentid_sink_lag_seconds"),
        lambda seconds: seconds > 2,
        within=SLOWLY,
    )
    place.create(task())
    waits = place.wait_for(
        "agenttask",
        TASK,
        lambda seen: "sink http" in story.conditions(seen).get("Finished", {}).get("message", ""),
        SLOWLY,
        "it says which sink does not get the record",
    )
    assert story.serials(waits) == []
    assert place.find("secret", f"agentid-{TASK}") is None
    place.delete("agenttask", "goes-on")
    story.secret_gone_or_empty(place, "goes-on")
    assert receiver.kinds(uid) == ["issued"]

    receiver.is_down = False
    story.runs(place, within=SLOWLY)
    wait_until(
        "its end has come", lambda: receiver.kinds(uid), lambda seen: seen[-1] == "ended", within=SLOWLY
    )

    # Every record of the ledger, as it is there, each where it is there.
    expected = {
        f"{batch.sequence}-{index}": json.loads(line)
        for batch, _ in ledgers.whole(admin).batches
        for index, line in enumerate(batch.records)
    }
    wait_until(
        "it has all", lambda: expected.keys() - receiver.events.keys(), lambda left: not left, within=SLOWLY
    )
    assert {each: receiver.events[each]["data"] for each in expected} == expected
