"""Which addresses are never asked: a URL or a name server must not turn the operator against its own cluster.

What is looked at is the address that a socket is about to be connected to, so that a name which leads
elsewhere the next time (DNS rebinding) gains nothing.
"""

import errno
import socket
from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
AddressInfo = tuple[int, int, int, str, tuple[str | int, ...]]
"""An entry of `getaddrinfo`."""

_FORBIDDEN: Final[tuple[tuple[str, tuple[Network, ...]], ...]] = tuple(
    (what, tuple(ip_network(each) for each in networks))
    for what, networks in (
        ("a loopback address", ("127.0.0.0/8", "::1/128")),
        ("an unspecified address", ("0.0.0.0/8", "::/128")),
        ("a link-local address", ("169.254.0.0/16", "fe80::/10", "fec0::/10")),
        ("a multicast address", ("224.0.0.0/4", "ff00::/8")),
        ("a reserved address", ("240.0.0.0/4",)),
        (
            "a cloud's metadata service",
            (
                "100.100.100.200/32",
                "168.63.129.16/32",
                "192.0.0.192/32",
                "fd00:ec2::254/128",
                "fd20:ce::254/128",
            ),
        ),
    )
)
_WITH_IPV4_AT_THE_END: Final = tuple(
    IPv6Network(each) for each in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
"""IPv4-compatible addresses and those that NAT64 translates (RFC 4291, 6052, 8215)."""


class RefusedSocketError(PermissionError):
    """No socket is made for this address. An OSError, as whoever connects expects of a socket."""


class AddressGuard:
    """Says of an address whether it may be connected to, and makes sockets for those that may.

    `setting` is where exceptions are allowed, for messages.
    """

    def __init__(self, allowed: Iterable[Network], setting: str) -> None:
        self._allowed = tuple(allowed)
        self._setting = setting
        self._api_servers: frozenset[Address] = frozenset()

    def know_api_servers(self, addresses: Iterable[Address]) -> None:
        """Take in where the API server is, which is not asked either."""
        self._api_servers = frozenset(
            meant for each in addresses for meant in _meanings(_without_scope(each))
        )

    def refusal(self, address: Address) -> str | None:
        """Return what kind of address it is that must not be asked, or None if it may be."""
        plain = _without_scope(address)
        if _is_in(plain, self._allowed):
            return None
        for each in _meanings(plain):
            if _is_in(each, self._allowed):
                continue
            for what, networks in _FORBIDDEN:
                if _is_in(each, networks):
                    return what
            if each in self._api_servers:
                return "the API server's address"
        return None

    def socket(self, info: AddressInfo) -> socket.socket:
        """Return an unconnected socket for `info`, as aiohttp asks for one before each connection.

        Raises:
            RefusedSocketError: it must not be connected to.
        """
        family, kind, protocol, _, where = info
        if (what := self.refusal(ip_address(str(where[0])))) is not None:
            told = f"{where[0]} is {what}, and not among {self._setting}"
            raise RefusedSocketError(errno.EACCES, told)
        return socket.socket(family=family, type=kind, proto=protocol)


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in each for each in networks if each.version == address.version)


def _without_scope(address: Address) -> Address:
    """Return an address without the interface it is on, which would make it another one."""
    return IPv6Address(int(address)) if isinstance(address, IPv6Address) else address


def _meanings(address: Address) -> Iterator[Address]:
    """Yield the address, and the IPv4 addresses that a network may take it for."""
    yield address
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    # "::" and "::1" are addresses of their own.
    if _is_in(address, _WITH_IPV4_AT_THE_END) and int(address) > 1:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
