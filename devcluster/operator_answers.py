"""What an operator says of itself, read for tests: its metrics and its log."""

import json
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def sampled(text: str, name: str, labels: Mapping[str, str]) -> float:
    """The sum of a metric's samples that have these labels; 0 where there is none.

    Args:
        text: What `/metrics` serves.
        name: The sample's name.
        labels: Those that it has to have, among others.
    """
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def parsed(log: str) -> list[dict[str, Any]]:
    """Each line as JSON; a line that is none, such as a traceback's, under the key "event"."""
    found = []
    for line in log.splitlines():
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = line
        found.append(entry if isinstance(entry, dict) else {"event": line})
    return found
