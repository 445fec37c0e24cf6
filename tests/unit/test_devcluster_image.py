"""What the operator's image is made of, and what is said where it can't be built."""

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest

from devcluster import kind, operator_image
from devcluster.errors import PackagesMissingError, StartError
from devcluster.operator_pod import GIVEN_IMAGE, OperatorImage, given_image
from devcluster.places import CHECKOUT, cache


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout with all that goes into an image, and a cache of its own."""
    here = tmp_path / "checkout"
    (here / "operator" / "agentid").mkdir(parents=True)
    (here / "operator" / "agentid" / "main.py").write_text("print('hello')\n")
    for name in operator_image.SOURCES:
        if name != "operator":
            (here / name).write_text(name)
    monkeypatch.setattr(operator_image, "CHECKOUT", here)
    monkeypatch.setenv("AGENTID_CACHE", str(tmp_path / "cache"))
    return here


def test_changed_code_is_another_image(checkout: Path) -> None:
    before = operator_image.tag()

    (checkout / "operator" / "agentid" / "main.py").write_text("print('hello again')\n")

    assert operator_image.tag() != before


def test_a_new_file_and_a_new_name_are_another_image(checkout: Path) -> None:
    tags = {operator_image.tag()}
    code = checkout / "operator" / "agentid" / "main.py"

    code.rename(code.with_name("other.py"))
    tags.add(operator_image.tag())
    (code.parent / "more.py").touch()
    tags.add(operator_image.tag())

    assert len(tags) == 3


def test_what_is_no_part_of_the_image_does_not_change_it(checkout: Path) -> None:
    before = operator_image.tag()

    (checkout / "operator" / "agentid" / "__pycache__").mkdir()
    (checkout / "operator" / "agentid" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"\0")
    (checkout / "tests").mkdir()
    (checkout / "tests" / "test_main.py").touch()

    assert operator_image.tag() == before


def test_the_build_sees_what_the_tag_is_made_of_and_no_more() -> None:
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    assert rules[-1] == "**/__pycache__"
    seen = {rule.removeprefix("!") for rule in rules[1:-1]}
    assert seen | {"Dockerfile", ".dockerignore"} == set(operator_image.SOURCES)


@pytest.mark.usefixtures("checkout")
def test_archives_that_nobody_used_for_two_days_go(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache() / "images"
    folder.mkdir()
    ages = {"operator-old.tar": 3, "operator-new.tar": 1, "docker-old.tar": 3, "base-old.tar": 3}
    for name, days in ages.items():
        (folder / name).touch()
        used = time.time() - timedelta(days=days).total_seconds()
        os.utime(folder / name, (used, used))

    def write(target: Path, *_: object) -> None:
        target.touch()

    monkeypatch.setattr(operator_image, "_write", write)
    archive = operator_image.built().archive

    assert archive is not None
    assert {path.name for path in folder.glob("*.tar")} == {
        archive.name,
        "operator-new.tar",
        "docker-old.tar",
        "base-old.tar",
    }


@pytest.mark.usefixtures("checkout")
def test_without_root_it_is_said_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(PackagesMissingError, match=r"takes root.*`make kind-up`.*AGENTID_IMAGE"):
        operator_image.built()


def test_an_image_for_a_given_cluster_is_named_with_its_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GIVEN_IMAGE, "registry.example.com:5000/agentid:v1")

    assert given_image() == OperatorImage("registry.example.com:5000/agentid", "v1")


@pytest.mark.parametrize("given", ["", "agentid", "registry.example.com:5000/agentid"])
def test_an_image_without_a_tag_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GIVEN_IMAGE, given)

    with pytest.raises(StartError, match="repository:tag"):
        given_image()


def test_without_docker_kind_is_refused_and_another_way_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)

    for command in (kind.up, kind.down):
        with pytest.raises(StartError, match=r"kind takes Docker.*make cluster-up NODE=1"):
            command()


def test_where_no_docker_engine_answers_it_is_said_what_docker_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'no daemon is running' >&2; exit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(StartError, match="no daemon is running"):
        kind.up()
