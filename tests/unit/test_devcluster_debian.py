from pathlib import Path

import pytest

from demo.__main__ import why_no_node
from devcluster import debian, machine
from devcluster.errors import PackagesMissingError

DPKG = "#!/bin/sh\n[ \"$4\" = there ] && printf 'installed\\ninstalled\\n' || printf 'not-installed\\n'\n"


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("dpkg-query", DPKG), ("apt-get", f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')):
        (tmp_path / name).write_text(text.replace("$4", "$3"))
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_what_is_installed_is_left_alone(programs: Path) -> None:
    debian.ensure("there", why="a test")

    assert not (programs / "asked").exists()


def test_root_gets_what_is_missing_after_an_update(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)

    debian.ensure("there", "missing", why="a test")

    assert (programs / "asked").read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends missing",
    ]


def test_others_are_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(PackagesMissingError, match=r"the node needs missing.*sudo apt-get install missing"):
        debian.ensure("missing", why="the node")


def test_a_failed_installation_shows_what_apt_said(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (programs / "apt-get").write_text("#!/bin/sh\necho no network >&2\nexit 100\n")

    with pytest.raises(PackagesMissingError, match="apt-get update -qq` failed: no network"):
        debian.ensure("missing", why="the node")


def test_without_root_there_is_no_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert machine.obstacle() == "a node takes root"


def test_packages_that_are_not_to_be_had_are_why_the_demo_plays_its_pods(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "obstacle", lambda: None)
    monkeypatch.setattr("devcluster.node.obstacle", lambda: None)
    monkeypatch.delenv("AGENTID_DEMO_NODE", raising=False)
    (programs / "apt-get").unlink()
    monkeypatch.setenv("PATH", str(programs))

    assert "this machine has no apt-get" in str(why_no_node())
