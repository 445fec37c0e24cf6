"""Addresses that nothing is asked at: each kind, in each disguise, unless it is allowed."""

import socket
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.outbound.addresses import AddressGuard, RefusedSocketError

API_SERVERS = ("10.96.0.1", "fd00:10::1", "203.0.113.7")


def guard(*allowed: str) -> AddressGuard:
    made = AddressGuard([ip_network(each) for each in allowed], "policy.opa.allowAddresses")
    made.know_api_servers([ip_address(each) for each in API_SERVERS])
    return made


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - asked about, not bound
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "reserved"),
        ("240.0.0.1", "reserved"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("10.96.0.1", "API server"),
        ("203.0.113.7", "API server"),
        ("fd00:10::1", "API server"),
        # IPv4 in IPv6: mapped, compatible, NAT64, 6to4, Teredo.
        ("::ffff:127.0.0.1", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::169.254.169.254", "link-local"),
        ("2002:a9fe:a9fe::1", "link-local"),
        ("2001:0:a9fe:a9fe::1", "link-local"),
        ("::ffff:10.96.0.1", "API server"),
        ("64:ff9b::10.96.0.1", "API server"),
        ("fd00:10::1%eth0", "API server"),
    ],
)
def test_address_that_must_not_be_asked_is_refused(address: str, what: str) -> None:
    refusal = guard().refusal(ip_address(address))
    assert refusal is not None
    assert what in refusal


@pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.1", "198.51.100.4", "fd00::7", "2001:db8::1"])
def test_any_other_address_may_be_asked(address: str) -> None:
    assert guard().refusal(ip_address(address)) is None


def test_address_that_is_allowed_may_be_asked_and_no_other() -> None:
    made = guard("127.0.0.1/32", "10.96.0.0/16", "fe80::7/128")
    for address in ("127.0.0.1", "10.96.0.1", "fe80::7", "fe80::7%eth0", "::ffff:127.0.0.1"):
        assert made.refusal(ip_address(address)) is None
    # The last is a Teredo address: of a server that is allowed, for a client that is not.
    for address in ("127.0.0.2", "203.0.113.7", "fe80::8", "2001:0:7f00:1::5601:5601"):
        assert made.refusal(ip_address(address)) is not None


@given(st.ip_addresses())
def test_every_address_has_an_answer_and_one_inside_ipv6_has_the_same(address: object) -> None:
    made, plain = guard(), ip_address(str(address))
    refusal = made.refusal(plain)
    if plain.version == 4:
        assert made.refusal(ip_address(f"::ffff:{plain}")) == refusal
        assert made.refusal(ip_address(f"64:ff9b::{plain}")) == refusal


def test_no_socket_is_made_for_an_address_that_must_not_be_asked() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 8181))
    with pytest.raises(RefusedSocketError, match=r"127\.0\.0\.1 is a loopback address.*allowAddresses"):
        guard().socket(info)
    with guard("127.0.0.0/8").socket(info) as made:
        assert made.family is socket.AF_INET
