"""With which exit code the doctor ends, by what it found."""

import pytest

from agentid.doctor.finding import Finding, exit_code, problem, unseen, warning, well


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([well("a", "b")], 0),
        ([well("a", "b"), warning("a", "b", "c")], 0),
        ([warning("a", "b", "c"), unseen("a", "b", "c")], 2),
        ([unseen("a", "b", "c"), problem("a", "b", "c")], 1),
        ([], 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst_and_what_was_not_seen_is_not_well(
    findings: list[Finding], code: int
) -> None:
    assert exit_code(findings) == code
