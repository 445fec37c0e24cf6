"""The token is read again; while it cannot be, the last one goes on, and that is said once."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentid.cluster.access import BearerToken, load_configuration
from agentid.cluster.errors import ConfigurationError

_A_WHILE = 61.0
_BROKEN = {
    "gone": None,
    "empty": "",
    "half written": "{apiVersion: v1, kind: Config, users: [{name: u, us",
    "without users": "{apiVersion: v1, kind: Config, current-context: c}",
    "not text": "\x00\x01",
    "without a token": "{}",
}


class Place:
    """A kubeconfig with a token, read at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        self.file = folder / "kubeconfig"
        self.write("first")

    def write(self, token: str | None) -> None:
        user = "{}" if token is None else f"{{token: {token}}}"
        self.file.write_text(
            f"{{apiVersion: v1, kind: Config, current-context: c, users: [{{name: u, user: {user}}}],"
            " clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}],"
            " contexts: [{name: c, context: {cluster: c, user: u}}]}"
        )

    async def token(self) -> BearerToken:
        return BearerToken.of(await load_configuration(self.file), self.file, lambda: self.now)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_token_is_read_again_once_a_minute(place: Place) -> None:
    token = await place.token()
    place.write("second")
    assert await token.header() == "Bearer first"
    place.now += _A_WHILE
    assert await token.header() == "Bearer second"


@pytest.mark.parametrize("broken", _BROKEN)
async def test_a_token_that_cannot_be_read_stays_and_is_told_once_and_read_as_soon_as_it_can_be(
    place: Place, broken: str
) -> None:
    token = await place.token()
    text = _BROKEN[broken]
    for outage in (1, 2):
        place.now += _A_WHILE
        kept = await token.header()
        if broken == "without a token":
            place.write(None)
        elif text is None:
            place.file.unlink()
        else:
            place.file.write_text(text)
        place.now += _A_WHILE
        with capture_logs() as logs:
            assert [await token.header() for _ in range(3)] == [kept] * 3
        assert [(each["log_level"], each["event"]) for each in logs] == [("warning", "token not read")]
        place.write(f"after-{outage}")
        assert await token.header() == f"Bearer after-{outage}", "at the next request, not a minute later"


async def test_at_the_start_a_kubeconfig_that_cannot_be_read_is_an_error(place: Place) -> None:
    place.file.unlink()
    with pytest.raises(ConfigurationError, match="there is no kubeconfig"):
        await place.token()
