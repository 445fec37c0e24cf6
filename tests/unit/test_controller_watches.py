"""kopf, as it is set up here, reads nothing that tenants write for it, keeps nothing and writes nothing."""

import asyncio
import getpass
import time
from contextlib import suppress
from pathlib import Path

import kopf
import pytest
import yaml

from agentid.cluster.connection import Connection
from agentid.controller.watches import (
    ForgetfulDiffBase,
    ForgetfulMemories,
    ForgetfulProgress,
    kopf_settings,
    run_watches,
    watched_paths,
)

HOSTILE = {
    "metadata": {
        "name": "t",
        "uid": "u-1",
        "annotations": {
            "kopf.zalando.org/last-handled-configuration": '{"bad',
            "kopf.zalando.org/task": "[",
            "kopf.dev/x": "}",
        },
    }
}

SILENT = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "silent",
    "contexts": [{"name": "silent", "context": {"cluster": "silent", "user": "nobody"}}],
    "clusters": [{"name": "silent", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "nobody", "user": {}}],
}
"""A kubeconfig of a cluster that does not answer."""


def test_the_storages_read_and_write_nothing_whatever_an_object_claims() -> None:
    body, patch = kopf.Body(HOSTILE), kopf.Patch()
    diffbase, progress = ForgetfulDiffBase(), ForgetfulProgress()
    assert diffbase.build(body=body) == {}
    assert diffbase.fetch(body=body) is None
    diffbase.store(body=body, patch=patch, essence={})
    assert progress.fetch(key="task", body=body) is None
    progress.store(key="task", record={}, body=body, patch=patch)
    progress.purge(key="task", body=body, patch=patch)
    progress.touch(body=body, patch=patch, value="now")
    assert progress.clear(essence={"spec": 1}) == {"spec": 1}
    assert not patch


def test_kopf_neither_posts_nor_scans_nor_pairs() -> None:
    settings = kopf_settings()
    assert isinstance(settings.persistence.diffbase_storage, ForgetfulDiffBase)
    assert isinstance(settings.persistence.progress_storage, ForgetfulProgress)
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert settings.queueing.worker_limit is None
    assert settings.watching.inactivity_timeout > 120
    assert not settings.watching.initial_streaming, "its lists tell that a watch has begun"


async def test_nothing_is_kept_of_an_object_between_its_events() -> None:
    memories = ForgetfulMemories()
    first = await memories.recall(HOSTILE, noticed_by_listing=True)
    assert await memories.recall(HOSTILE) is not first
    assert list(memories.iter_all_memories()) == []


@pytest.mark.parametrize(
    ("namespaces", "paths"),
    [
        (
            (),
            [
                "/apis/agentid.dev/v1alpha1/clusteragentpolicies",
                "/apis/agentid.dev/v1alpha1/agenttasks",
                "/apis/agentid.dev/v1alpha1/agents",
                "/apis/agentid.dev/v1alpha1/agentpolicies",
                "/apis/agentid.dev/v1alpha1/agentapprovals",
                "/api/v1/pods",
            ],
        ),
        (
            ("a",),
            [
                "/apis/agentid.dev/v1alpha1/clusteragentpolicies",
                "/apis/agentid.dev/v1alpha1/namespaces/a/agenttasks",
                "/apis/agentid.dev/v1alpha1/namespaces/a/agents",
                "/apis/agentid.dev/v1alpha1/namespaces/a/agentpolicies",
                "/apis/agentid.dev/v1alpha1/namespaces/a/agentapprovals",
                "/api/v1/namespaces/a/pods",
            ],
        ),
    ],
)
def test_which_watches_there_are(namespaces: tuple[str, ...], paths: list[str]) -> None:
    assert list(watched_paths(namespaces)) == paths


async def test_watching_begins_where_the_user_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")  # so it is in the operator's pod

    monkeypatch.setattr(getpass, "getuser", nobody)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(SILENT))
    began = asyncio.Event()
    async with Connection.open(kubeconfig, time.monotonic) as connection:
        watching = asyncio.ensure_future(
            run_watches(connection, None, (), on_listed=lambda: None, own_signals=began.set)  # type: ignore[arg-type] - nothing is seen
        )
        beginning = asyncio.ensure_future(began.wait())
        try:
            await asyncio.wait({watching, beginning}, return_when=asyncio.FIRST_COMPLETED)
            assert began.is_set(), watching.exception()
        finally:
            for each in (watching, beginning):
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each
