import json
from pathlib import Path
from typing import Any

from devcluster.audit import AuditLog, acting_user, is_write
from devcluster.errors import KubectlError


def event(verb: str = "create", code: int = 201, **fields: object) -> dict[str, Any]:
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "requestURI": "/api/v1/namespaces/n/secrets",
        "responseStatus": {"code": code},
        "user": {"username": "admin"},
    } | fields


def test_a_write_is_what_changed_something() -> None:
    assert is_write(event())
    assert is_write(event("deletecollection", 200))
    assert not is_write(event("get", 200))
    assert not is_write(event(code=409))
    assert not is_write(event(requestURI="/api/v1/namespaces/n/secrets?dryRun=All"))
    assert not is_write(event(stage="ResponseStarted"))


def test_an_impersonated_user_is_who_acted() -> None:
    assert acting_user(event()) == "admin"
    assert acting_user(event(impersonatedUser={"username": "alice"})) == "alice"


def test_reading_goes_on_from_a_position_and_stops_before_a_half_written_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    assert log.position() == 0
    assert list(log.events()) == []
    log.path.write_text(json.dumps(event("get")) + "\n")
    position = log.position()
    alice = event("update", impersonatedUser={"username": "alice"})
    with log.path.open("a") as more:
        more.write(json.dumps(event()) + "\n" + json.dumps(alice) + "\n" + '{"verb": "del')

    assert [each["verb"] for each in log.events(position)] == ["create", "update"]
    assert [each["verb"] for each in log.events(user="alice")] == ["update"]


def test_a_position_is_never_within_a_line_that_is_being_written(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log")
    long = json.dumps(event(requestObject="x" * 200_000)) + "\n"
    log.path.write_text(long[:100_000])
    assert log.position() == 0
    log.path.write_text(long + long[:100_000])
    position = log.position()
    with log.path.open("a") as more:
        more.write(long[100_000:] + json.dumps(event("get")) + "\n")

    assert position == len(long)
    assert [each["verb"] for each in log.events(position)] == ["create", "get"]


def test_the_reason_of_a_refusal_is_the_api_servers() -> None:
    def reason(stderr: str) -> str:
        return KubectlError(["kubectl"], 1, stderr).reason

    assert reason('Error from server (Forbidden): secrets is forbidden: User "x"') == "Forbidden"
    assert reason('Warning: old\nThe AgentTask "t" is invalid: spec.intent: Required value') == "Invalid"
    assert reason("Unable to connect to the server: dial tcp") == ""
