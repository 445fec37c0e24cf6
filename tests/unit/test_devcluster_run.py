import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from devcluster import reaping, run
from devcluster.errors import ConditionNotMetError, StartError
from devcluster.places import CHECKOUT
from devcluster.run import Run
from devcluster.waiting import wait_until

OWNER = """
import signal, sys
from devcluster.run import Run
from tests.signals import as_in_a_terminal
as_in_a_terminal()
with Run.begin() as run:
    for name in ("one", "two"):
        run.process(name, ["sh", "-c", "trap '' TERM INT HUP; sleep 300 & wait; sleep 300"]).start()
    print(run.id, flush=True)
    signal.pause()
"""
OWNERS: list[subprocess.Popen[str]] = []
NOTHING: tuple[list[int], bool] = ([], False)
A_MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AGENTID_CACHE", str(tmp_path / "cache"))
    yield
    for started in OWNERS:
        started.kill()
        started.wait()
    OWNERS.clear()
    for folder in run.runs_folder().iterdir():
        if folder.is_dir():
            run.end_if_dead(folder, even_if_claimed=True)


def owner() -> tuple[subprocess.Popen[str], Path]:
    started = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    OWNERS.append(started)
    assert started.stdout is not None
    run_id = started.stdout.readline().strip()
    wait_until("both sleep", lambda: reaping.processes(run_id), lambda found: len(found) >= 4)
    return started, run.runs_folder() / run_id


def keeper_of(folder: Path) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"devcluster.keeper" in words and str(folder).encode() in words:
                return int(entry.name)
    raise AssertionError("no keeper")


def left_at_last(folder: Path) -> tuple[list[int], bool]:
    """The processes of a run and whether its folder is there, once nothing is or after a minute."""

    def look() -> tuple[list[int], bool]:
        return reaping.processes(folder.name), folder.exists()

    with suppress(ConditionNotMetError):
        wait_until("nothing of the run is left", look, lambda seen: seen == NOTHING, within=A_MINUTE)
    return look()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_is_ended_by(number: signal.Signals) -> None:
    started, folder = owner()

    started.send_signal(number)
    started.wait(60)

    assert left_at_last(folder) == NOTHING


def test_the_next_start_ends_what_a_killed_owner_and_a_killed_keeper_left() -> None:
    started, folder = owner()
    os.kill(keeper_of(folder), signal.SIGKILL)
    started.kill()
    started.wait(60)
    assert len(reaping.processes(folder.name)) >= 4

    with Run.begin():
        assert reaping.processes(folder.name) == []
        assert not folder.exists()


def test_a_start_leaves_the_runs_of_living_owners_alone() -> None:
    started, folder = owner()

    with Run.begin():
        assert len(reaping.processes(folder.name)) >= 4

    started.terminate()
    started.wait(60)
    assert left_at_last(folder) == NOTHING


def started_twice(begun: Run) -> None:
    process = begun.process("sleep", ["sleep", "300"])
    process.start()
    process.start()


def test_an_error_ends_the_run() -> None:
    with pytest.raises(StartError, match="runs already"), Run.begin() as begun:
        started_twice(begun)

    assert left_at_last(begun.folder) == NOTHING


def test_what_was_started_is_ended_whatever_its_environment_shows() -> None:
    with Run.begin() as begun:
        process = begun.process("sleep", ["env", "-i", "sleep", "300"])
        process.start()
        command = Path(f"/proc/{process.pid}/cmdline")
        wait_until("env has become sleep", lambda: command.read_bytes().startswith(b"sleep"))
        assert reaping.processes(begun.id) == []

    assert not process.alive()


def test_a_detached_run_goes_on_as_long_as_it_is_claimed(tmp_path: Path) -> None:
    claim = tmp_path / "cluster.json"
    with Run.begin() as begun:
        begun.process("sleep", ["sleep", "300"]).start()
        claim.write_text(json.dumps({"folder": str(begun.folder)}))
        begun.detach(claim)

    assert run.reap_leftovers() == []
    assert len(reaping.processes(begun.id)) == 1

    claim.unlink()

    assert run.reap_leftovers() == [begun.id]
    assert left_at_last(begun.folder) == NOTHING


def test_a_detached_run_of_another_boot_is_removed(tmp_path: Path) -> None:
    claim = tmp_path / "cluster.json"
    with Run.begin() as begun:
        claim.write_text(json.dumps({"folder": str(begun.folder)}))
        begun.detach(claim)
    (begun.folder / "boot").write_text("another")

    assert run.reap_leftovers() == [begun.id]


def test_a_run_is_for_its_owner_only() -> None:
    with Run.begin() as begun:
        assert begun.folder.stat().st_mode & 0o777 == 0o700


def test_a_program_that_ends_at_once_is_reported_with_its_last_words() -> None:
    with Run.begin() as begun:
        process = begun.process("etcd", ["sh", "-c", "echo the disk is full; exit 3"])
        process.start()
        with pytest.raises(StartError, match=r"etcd ended with 3(.|\n)*the disk is full"):
            process.wait_ready(lambda: False)


def test_a_program_that_never_gets_ready_is_reported_with_its_last_words() -> None:
    with Run.begin() as begun:
        process = begun.process("etcd", ["sh", "-c", "echo still at it; sleep 300"])
        process.start()
        wait_until("it speaks", process.log.read_text)
        with pytest.raises(StartError, match=r"etcd is ready: not so(.|\n)*still at it"):
            process.wait_ready(lambda: False, timedelta(milliseconds=10))


def test_a_program_can_be_killed_and_started_again() -> None:
    with Run.begin() as begun:
        process = begun.process("sleep", ["sleep", "300"])
        process.start()
        first = process.pid
        process.kill()
        assert not process.alive()
        process.start()
        assert process.alive()
        assert process.pid != first
        assert process.terminate() == -signal.SIGTERM


def test_a_program_that_ignores_sigterm_is_killed_and_reported() -> None:
    with Run.begin() as begun:
        script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
        process = begun.process("stubborn", ["sh", "-c", script])
        process.start()
        wait_until("it is up", lambda: "up" in process.log.read_text())
        with pytest.raises(ConditionNotMetError, match=r"stubborn did not end within 0\.2 s of SIGTERM"):
            process.terminate(timedelta(milliseconds=200))
        assert not process.alive()


def test_a_control_group_is_waited_for_while_its_last_process_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaping, "CGROUPS", tmp_path / "cgroup")
    group = tmp_path / "cgroup" / "cpu" / "k8s.io" / "container"
    folder = tmp_path / "ended"
    for made in (group, folder / "node-1/containerd/io.containerd.runtime.v2.task/k8s.io/container"):
        made.mkdir(parents=True)
    busy = group / "process"
    busy.touch()
    dies = threading.Timer(0.2, busy.unlink)
    dies.start()

    reaping.end(folder)

    dies.join()
    assert not group.parent.exists()
    assert not folder.exists()
