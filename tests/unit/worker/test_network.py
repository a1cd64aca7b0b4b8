"""Which addresses a worker may connect to: the public internet, and what the fleet names."""

import ipaddress
import socket

import pytest

from warmup_worker.network import first_answer, forbidden, parse_networks


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("8.8.8.8", None),
        ("2607:f8b0::1", None),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("169.254.169.254", "link-local or metadata"),
        ("fe80::1", "link-local or metadata"),
        ("168.63.129.16", "link-local or metadata"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00:ec2::254", "private"),
        ("192.0.2.1", "private"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("::ffff:169.254.169.254", "link-local or metadata"),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::8.8.8.8", None),
        ("2002:7f00:1::", "loopback"),
        ("255.255.255.255", "private"),
    ],
)
def test_addresses(address: str, reason: str | None) -> None:
    assert forbidden(ipaddress.ip_address(address), ()) == reason


def test_a_named_network_allows_its_addresses_and_no_others() -> None:
    allowed = parse_networks(["10.0.0.0/8", "fd00::/8", "nonsense"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert forbidden(ipaddress.ip_address(address), allowed) is None
    for address in ("127.0.0.1", "169.254.169.254", "192.168.0.1"):
        assert forbidden(ipaddress.ip_address(address), allowed) is not None


async def test_an_address_that_never_answers_costs_its_seconds_and_the_next_one_is_taken() -> None:
    """A full queue of connections: the kernel drops what comes, as a firewall does."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as deaf,
        socket.create_server(("127.0.0.1", 0)) as good,
    ):
        silent, answering = deaf.getsockname(), good.getsockname()
        with socket.create_connection(silent):
            with await first_answer([silent, answering], seconds=0.2) as found:
                assert found.getpeername() == answering
            with pytest.raises(OSError, match=f"no answer within 0.2 s from 127.0.0.1:{silent[1]}"):
                await first_answer([silent], seconds=0.2)
