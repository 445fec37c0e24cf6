"""Reads in the audit log whether any answer to the operator carried what it had not written itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agentid.api.names import OWN_SECRETS
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE
from tests.cluster.people import OPERATOR


def answers(cluster: ControlPlane) -> Iterator[dict[str, Any]]:
    """Every answer about Secrets that the operator's own token ever got from this API server."""
    return (
        event
        for event in cluster.audit()
        if event["user"].get("username") == OPERATOR
        and event.get("objectRef", {}).get("resource") == "secrets"
    )


def foreign_answers(cluster: ControlPlane) -> list[tuple[str, str]]:
    """Verb and path of every request of the operator whose answer held what it had not sent with it.

    Its own Secrets, with the keys of authority and ledger, are those that it may read.
    """
    return [
        (event["verb"], event["requestURI"])
        for event in answers(cluster)
        if not _is_its_own(event["objectRef"]) and not _is_what_was_sent(event)
    ]


@contextmanager
def nothing_foreign_answered(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """See at the end of all that is done with a cluster that no answer to the operator held another's data.

    The block is left with the cluster still running, so that its audit log is whole.
    """
    yield cluster
    assert foreign_answers(cluster) == []


def _is_its_own(where: dict[str, Any]) -> bool:
    return where.get("namespace") == NAMESPACE and where.get("name") in OWN_SECRETS


def _is_what_was_sent(event: dict[str, Any]) -> bool:
    answer = event.get("responseObject") or {}
    sent = _held(event.get("requestObject") or {})
    return all(_held(each) in ({}, sent) for each in answer.get("items", [answer]))


def _held(secret: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in (secret.get("data") or {}).items() if value}
