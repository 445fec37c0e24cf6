"""`make faults` writes what it saw into `docs/faults.md`, and leaves what it did not run as it was."""

from pathlib import Path

import pytest

from tests import fault_table

PAGE = """# Faults

## What was seen

| fault | at | came out | bound | seen | run on |
|---|---|---|---|---|---|
| cut | issue | well | 20 s | 1 s | 2026-01-01 |
| cut | end | well | 20 s | 2 s | 2026-01-01 |

## Made with every change

| fault | came out | bound | test | run on |
|---|---|---|---|---|
| restart | nothing is lost | its pass | `test_a.py` | - |
| silence | found later | 300 s | `test_a.py`, `test_b.py` | 2026-01-01 |

## A key that is written after its task's end

More of it.
"""


def test_row_takes_the_place_of_that_of_the_same_fault_at_the_same_moment() -> None:
    row = {
        "fault": "cut",
        "at": "end",
        "came out": "well",
        "bound": "20 s",
        "seen": "3 s",
        "run on": "2026-02-02",
    }

    page = fault_table.written(PAGE, [row])

    assert page == PAGE.replace(
        "| cut | end | well | 20 s | 2 s | 2026-01-01 |", "| cut | end | well | 20 s | 3 s | 2026-02-02 |"
    )


def test_row_of_the_second_table_has_the_day_on_which_all_its_tests_had_run() -> None:
    first, second = (
        {"test": "test_a.py", "run on": "2026-02-02"},
        {"test": "test_b.py", "run on": "2026-02-03"},
    )
    once = PAGE.replace("`test_a.py` | - |", "`test_a.py` | 2026-02-02 |")

    assert fault_table.written(PAGE, [first]) == once
    assert fault_table.written(PAGE, [first, second]) == once.replace(
        "`test_b.py` | 2026-01-01 |", "`test_b.py` | 2026-02-02 |"
    )


def test_what_was_kept_is_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, page = tmp_path / "faults.jsonl", tmp_path / "faults.md"
    page.write_text(PAGE)
    monkeypatch.setenv(fault_table.KEEP, str(kept))
    monkeypatch.setattr(fault_table, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["fault_table", str(kept)])
    fault_table.record("cut", "issue", bound="20 s", seen="4 s")
    fault_table.record_whole("cluster/test_a.py")

    assert fault_table.main() == 0

    assert "| cut | issue | as a clean run | 20 s | 4 s |" in page.read_text()
    assert "`test_a.py` | - |" not in page.read_text()


def test_every_test_that_the_page_names_is_one_that_make_faults_runs() -> None:
    makefile = (fault_table.CHECKOUT / "Makefile").read_text()
    faults = makefile.partition("FAULTS := ")[2].partition(" faults\n")[0]
    page = fault_table.PAGE.read_text(encoding="utf-8")

    named = {word.removeprefix("test_") for word in fault_table.tests_in(page)}

    assert named <= {f"{word}.py" for word in faults.replace(")", " ").replace(",", " ").split()}
