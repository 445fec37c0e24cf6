"""Keeps from kopf's watches what they list, because kopf hands it over slowly, object by object.

A watch goes on from the version that its list tells, whatever objects came with that. So kopf's lists ask for
nothing, and what there is is listed in bulk by who is told that a watch has begun (anew).
"""

from collections.abc import Callable, Collection
from typing import Final

import aiohttp

from agentid.api.names import TASK_LABEL

NOTHING: Final = f"{TASK_LABEL},!{TASK_LABEL}"
"""A label selector that fits no object."""
_OK: Final = 200


def asking_for_nothing(paths: Collection[str], on_listed: Callable[[], None]) -> aiohttp.ClientMiddlewareType:
    """Return what makes the lists of `paths` empty; `on_listed` is told when one was answered."""

    async def ask_for_nothing(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        url = request.url
        if request.method != "GET" or url.path not in paths or url.query.get("watch") == "true":
            return await handler(request)
        request.url = url.update_query(labelSelector=NOTHING)
        response = await handler(request)
        if response.status == _OK:
            on_listed()
        return response

    return ask_for_nothing
