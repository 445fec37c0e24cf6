"""Waiting for an object as tests do it."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.errors import ConditionNotMetError, KubectlError
from devcluster.kubectl import Kubectl

A_DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def plain() -> Iterator[ControlPlane]:
    with ControlPlane.start() as control_plane:
        yield control_plane


@pytest.fixture
def default(plain: ControlPlane) -> Iterator[Kubectl]:
    kubectl = plain.kubectl.in_namespace("default")
    yield kubectl
    kubectl("delete", "configmap", "c", "--ignore-not-found")


def config(**data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


@pytest.fixture
def soon() -> Iterator[list[threading.Timer]]:
    timers: list[threading.Timer] = []
    yield timers
    for timer in timers:
        timer.join()


def test_sees_an_object_that_comes_and_changes_later(default: Kubectl, soon: list[threading.Timer]) -> None:
    soon += [threading.Timer(0.5, default.apply, [config(a="1")])]
    soon += [threading.Timer(2, default.apply, [config(a="2")])]
    for timer in soon:
        timer.start()

    found = default.wait_for("configmap", "c", lambda seen: seen["data"]["a"] == "2")

    assert found["data"] == {"a": "2"}


def test_goes_on_over_a_restart_of_the_api_server(
    plain: ControlPlane, default: Kubectl, soon: list[threading.Timer]
) -> None:
    default.apply(config(a="1"))

    def restart_and_change() -> None:
        plain.restart_apiserver()
        default.apply(config(a="2"))

    soon += [threading.Timer(0.5, restart_and_change)]
    soon[0].start()

    assert default.wait_for("configmap", "c", lambda seen: seen["data"]["a"] == "2", timedelta(seconds=60))


def test_failure_shows_the_object_as_last_seen(default: Kubectl) -> None:
    default.apply(config(a="1"))

    with pytest.raises(
        ConditionNotMetError, match=r"the change comes: not so after 1 s; .*'data': {'a': '1'}"
    ):
        default.wait_for("configmap", "c", lambda _: False, timedelta(seconds=1), "the change comes")
    with pytest.raises(ConditionNotMetError, match=r"configmap nothing is as wanted: .*last seen: None"):
        default.wait_for("configmap", "nothing", bool, timedelta(seconds=1))


def test_a_kind_that_is_not_there_is_an_error_at_once(default: Kubectl) -> None:
    for wait in (
        lambda: default.wait_for("nonsense", "c", bool, A_DAY),
        lambda: default.wait_gone("nonsense", "c", A_DAY),
    ):
        with pytest.raises(KubectlError, match="resource type"):
            wait()


def test_waits_until_an_object_is_gone(default: Kubectl, soon: list[threading.Timer]) -> None:
    default.wait_gone("configmap", "c")  # it is not there to begin with
    default.apply(config(a="1"))
    with pytest.raises(ConditionNotMetError, match=r"configmap c is gone: not so after 1 s.*'data'"):
        default.wait_gone("configmap", "c", timedelta(seconds=1))
    soon += [threading.Timer(0.5, default.delete, ["configmap", "c"])]
    soon[0].start()

    default.wait_gone("configmap", "c")

    assert default.find("configmap", "c") is None
