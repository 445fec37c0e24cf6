from pathlib import Path

import pytest

from devcluster import build, tools
from devcluster.components import PROGRAMS
from devcluster.errors import ToolBuildError
from devcluster.places import TOOLS


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "cache"


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def fake_go(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, version: str = "go1.99.0") -> None:
    said = f'[ "$1" = version ] && echo go version {version} linux/amd64 && exit'
    executable(folder / "bin" / "go", f"#!/bin/sh\n{said}\n{script}\n")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/bin:/usr/bin")


def test_versions_are_those_of_the_module_files() -> None:
    flags = tools.ALL["kube-apiserver"].linker_flags

    assert tools.kubernetes_version() in (TOOLS / "controlplane" / "go.mod").read_text()
    assert f"gitVersion={tools.kubernetes_version()}" in flags
    assert "gitMajor=1 " in flags
    assert "{" not in flags


def test_each_tool_is_pinned_by_a_tool_line_of_its_module() -> None:
    for tool in tools.ALL.values():
        assert tool.package in (tool.module / "go.mod").read_text().split(), tool.name


def test_the_cache_folder_changes_with_go_sum_and_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = build.bin_folder("helm")
    monkeypatch.setattr(tools, "TOOLS", tmp_path)
    (tmp_path / "helm").mkdir()
    for name in ("go.mod", "go.sum"):
        (tmp_path / "helm" / name).write_text((TOOLS / "helm" / name).read_text())
    assert build.bin_folder("helm") == before

    with (tmp_path / "helm" / "go.sum").open("a") as sums:
        sums.write("\n")

    assert build.bin_folder("helm") != before


def test_a_program_that_is_there_is_not_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    there = executable(build.bin_folder("helm") / "helm", "")
    monkeypatch.setenv("PATH", "")  # no Go

    assert build.ensure(["helm"]) == {"helm": there}


def test_kubebuilder_assets_are_used_for_what_they_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    etcd = executable(tmp_path / "assets" / "etcd", "")
    executable(tmp_path / "assets" / "helm", "")
    helm = executable(build.bin_folder("helm") / "helm", "")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))

    assert build.ensure(["etcd", "helm"]) == {"etcd": etcd, "helm": helm}


def test_without_go_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(
        ToolBuildError,
        match=r"helm has to be built: Go 1\.\S+ or newer is needed, found none on PATH.*AGENTID_KUBECONFIG",
    ):
        build.ensure(["helm"])


@pytest.mark.parametrize("found", ["go1.19.8", "go1.25.12"])
def test_a_go_that_is_too_old_is_refused_in_one_sentence(
    found: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_go(tmp_path, "exit 1", monkeypatch, version=found)

    with pytest.raises(ToolBuildError, match=rf"or newer is needed, found go version {found} linux/amd64\."):
        build.ensure(["helm"])


def test_a_given_clusters_programs_are_those_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = executable(tmp_path / "bin" / "helm", "")
    built = executable(build.bin_folder("controlplane") / "kubectl", "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # no Go

    assert build.installed_or_built("helm") == there
    assert build.installed_or_built("kubectl") == built


def test_a_control_plane_alone_needs_no_program_of_a_node() -> None:
    assert {tool.name for tool in tools.GROUPS["controlplane"]} == set(PROGRAMS)
    assert {"kubelet", "kube-proxy"} < {tool.name for tool in tools.GROUPS["node"]}


def test_a_failed_build_shows_what_the_compiler_said_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_cache: Path
) -> None:
    fake_go(tmp_path, "echo no such module >&2; exit 1", monkeypatch)

    with pytest.raises(ToolBuildError, match=r"building helm failed(.|\n)*no such module"):
        build.ensure(["helm"])

    assert [path.name for path in own_cache.rglob("*") if path.is_file()] == [".lock"]


def test_a_program_appears_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # A compiler that writes half a program and fails.
    script = (
        '[ "$1" = list ] && exit 0; while [ $# -gt 1 ]; do [ "$1" = -o ] && echo half > "$2"; shift; done'
    )
    fake_go(tmp_path, f"{script}; exit 1", monkeypatch)

    with pytest.raises(ToolBuildError):
        build.ensure(["helm"])

    assert not (build.bin_folder("helm") / "helm").exists()


def test_what_a_killed_build_left_goes_with_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = (
        '[ "$1" = list ] && exit 0; while [ $# -gt 1 ]; do [ "$1" = -o ] && echo whole > "$2"; shift; done'
    )
    fake_go(tmp_path, script, monkeypatch)
    executable(build.bin_folder("helm") / ".build-killed" / "helm", "half")

    built = build.ensure(["helm"])["helm"]

    assert built.read_text() == "whole\n"
    assert sorted(path.name for path in built.parent.iterdir()) == [".lock", "helm"]
