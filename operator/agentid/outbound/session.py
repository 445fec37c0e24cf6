"""Opens connections to one place: no proxy, no cookies, no address that must not be asked."""

from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver

from agentid.outbound.addresses import AddressGuard

_KEEPALIVE_SECONDS: Final = 15.0


def guarded_session(
    guard: AddressGuard, resolver: AbstractResolver, *, connections: int
) -> aiohttp.ClientSession:
    """Return a session whose connections `guard` looks at when they are made; `resolver` stays open."""
    connector = aiohttp.TCPConnector(
        limit=connections,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        # What a name means is asked for each connection, and looked at when it is made.
        resolver=resolver,
        use_dns_cache=False,
        socket_factory=guard.socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        headers={"User-Agent": "agentid"},
        timeout=aiohttp.ClientTimeout(total=None),
    )
