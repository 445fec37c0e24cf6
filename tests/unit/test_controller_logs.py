"""The record is written whatever the log's level; nothing else is below it."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from agentid.process.logs import RECORD_LOGGER, configure_logs


@pytest.fixture
def as_before() -> Iterator[None]:
    root, settings = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(RECORD_LOGGER).setLevel(logging.NOTSET)
    structlog.configure(**settings)


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_record_is_written_at_every_level(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level, "json")
    structlog.get_logger("agentid.other").info("other")
    structlog.get_logger(RECORD_LOGGER).info("record", kind="issued")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ("record", "issued") in {(each["event"], each.get("kind")) for each in lines}
    assert ("other" in {each["event"] for each in lines}) == (level in {"DEBUG", "INFO"})
