"""`agentid policy test`: runs the cases that stand beside policies; needs no cluster."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import typer
from pydantic import JsonValue

from agentid.cli.errors import REFUSED, NotThereError, UnusableFileError, finish
from agentid.cli.options import Output
from agentid.cli.printing import printer, told
from agentid.policy.casefile import MAX_BYTES, read_cases
from agentid.policy.errors import PolicyError
from agentid.policy.runner import CaseResult, run_cases


def run(files: Sequence[Path], output: Output) -> None:
    """Run the cases of each file; exit with 0 if all hold, else with 1."""
    finish("policy test", _test(files, output))


async def _test(files: Sequence[Path], output: Output) -> int:
    # A text is looked through for up to a second, most of it outside of Python.
    results = {file: await asyncio.to_thread(results_of, file) for file in files}
    if output is Output.TEXT:
        _show(results)
    else:
        typer.echo(told(_answer(results), output))
    return 0 if all(each.holds for of_file in results.values() for each in of_file) else REFUSED


def results_of(file: Path) -> tuple[CaseResult, ...]:
    """Run the cases of a file; its policies are read from where it says, beside it.

    Raises:
        NotThereError: it, or a policy that it names, is not there.
        UnusableFileError: it is no file of cases, or a policy is not accepted.
    """
    try:
        return run_cases(read_cases(_text(file, MAX_BYTES)), lambda name: _text(file.parent / name))
    except PolicyError as error:
        raise UnusableFileError(f"{file}: {error}") from error


def _text(file: Path, limit: int | None = None) -> str:
    try:
        if limit is not None and file.stat().st_size > limit:
            raise UnusableFileError(f"{file}: a file of cases has at most {limit} bytes")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotThereError(f"{file} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFileError(f"{file} cannot be read: {error}") from error


def _show(results: dict[Path, tuple[CaseResult, ...]]) -> None:
    out = printer()
    for file, of_file in results.items():
        for each in of_file:
            mark, style = ("ok  ", "green") if each.holds else ("FAIL", "bold red")
            out.print(f"[{style}]{mark}[/]", end=" ")
            out.print(f"{file}: {each.name}", markup=False)
            for failure in each.failures:
                out.print(f"     {failure}", markup=False)
    total = sum(map(len, results.values()))
    failed = sum(not each.holds for of_file in results.values() for each in of_file)
    out.print(f"{total} cases, {failed} failed" if failed else f"{total} cases, all hold", style="bold")


def _answer(results: dict[Path, tuple[CaseResult, ...]]) -> JsonValue:
    files: list[JsonValue] = [
        {"file": str(file), "cases": [_case(each) for each in of_file]} for file, of_file in results.items()
    ]
    return {"holds": all(each.holds for of_file in results.values() for each in of_file), "files": files}


def _case(result: CaseResult) -> JsonValue:
    decision = result.decision
    return {
        "name": result.name,
        "holds": result.holds,
        "failures": list(result.failures),
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "message": decision.message,
        "rules": list(decision.need.rules if decision.need else decision.determined_by),
    }
