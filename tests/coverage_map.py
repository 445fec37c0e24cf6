"""Holds `coverage.yaml` against the tests and the code: every promise has a test that exists and runs.

A promise without a test, a test id that does not exist, and one that is skipped or expected to fail are
faults. What must be promised is read from the code where the code knows it (every end, every reason to wait,
every admission rule for each kind of person), and from `promises.py` where it does not.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from agentid.api.admission import rule_names
from agentid.api.reasons import EndReason, WaitReason
from agentid.gate.answer import Reason as GateReason
from tests.promises import BY_SECTION

TESTS = Path(__file__).parent
PEOPLE = ("tenant", "operator", "stranger")
_SKIPS = {"skip", "skipif", "xfail"}
_SKIPPING = {"pytest.skip", "pytest.xfail", "pytest.importorskip"}


class Collected:
    """A pytest plugin that keeps what was collected: test id → why it may not run.

    A test is known by its name, and by its name with one word of its parameters: what pytest calls
    `test_x[patch-tenant]` is `test_x` and `test_x[tenant]`.
    """

    def __init__(self) -> None:
        self.tests: dict[str, str | None] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take note of every test and whether something may skip it."""
        for item in session.items:
            name, _, parameters = item.nodeid.removesuffix("]").partition("[")
            why = _why_not_run(item)
            for each in (name, *(f"{name}[{word}]" for word in parameters.split("-") if word)):
                self.tests[each] = self.tests.get(each) or why


def _why_not_run(item: pytest.Item) -> str | None:
    marks = _SKIPS & {mark.name for mark in item.iter_markers()}
    if marks:
        return f"is marked {', '.join(sorted(marks))}"
    if isinstance(item, pytest.Function):
        if _skips(item.function):
            return "may skip itself"
        # What pytest itself would call to set the test up, also by way of other fixtures.
        used = item._fixtureinfo.name2fixturedefs  # noqa: SLF001 - nothing public tells a test's fixtures
        for name, definitions in sorted(used.items()):
            if any(_skips(each.func) for each in definitions):
                return f"may be skipped by its fixture {name}"
    return None


def _skips(function: Callable[..., object]) -> bool:
    """Whether a test or fixture of ours has a call in it that skips."""
    if not Path(inspect.getsourcefile(function) or "").is_relative_to(TESTS):
        return False
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return bool(calls & _SKIPPING)


def required() -> dict[str, frozenset[str]]:
    """Return what has to be promised, by section of `coverage.yaml`."""
    return {
        **BY_SECTION,
        "ends": frozenset(reason.value for reason in EndReason),
        "waits": frozenset(reason.value for reason in WaitReason),
        "answers": frozenset(reason.value for reason in GateReason),
        "admission": frozenset(f"{rule}/{person}" for rule in rule_names() for person in PEOPLE),
    }


def faults(
    promised: Mapping[str, Mapping[str, object]], collected: Mapping[str, str | None]
) -> Iterator[str]:
    """Yield a sentence for each promise that nothing keeps.

    Args:
        promised: Section → promise → test id or list of test ids, relative to `tests/`.
        collected: What `Collected` knows of the tests.
    """
    for section, needed in required().items():
        for promise in sorted(needed - set(promised.get(section, {}))):
            yield f"{section}: {promise}: has to be promised, and coverage.yaml does not"
        for promise in sorted(set(promised.get(section, {})) - needed):
            yield f"{section}: {promise}: neither the code nor promises.py has it"
    for section, promises in promised.items():
        for promise, tests in promises.items():
            listed = [tests] if isinstance(tests, str) else tests
            if not isinstance(listed, list) or not listed:
                yield f"{section}: {promise}: no test"
                continue
            for test in listed:
                if f"tests/{test}" not in collected:
                    yield f"{section}: {promise}: {test} does not exist"
                elif why := collected[f"tests/{test}"]:
                    yield f"{section}: {promise}: {test} {why}"


def main() -> int:
    """Print every fault; return 1 if there is one."""
    collected = Collected()
    code = pytest.main(["--collect-only", "-qq", "--no-header", str(TESTS)], plugins=[collected])
    if code:
        return int(code)
    promised = yaml.safe_load((TESTS / "coverage.yaml").read_text())
    found = list(faults(promised, collected.tests))
    sys.stdout.writelines(f"coverage.yaml: {fault}\n" for fault in found)
    total = sum(len(promises) for promises in promised.values())
    sys.stdout.write(f"coverage.yaml: {total} promises, {len(found)} faults\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
