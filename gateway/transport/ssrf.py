"""Whether a URL that a stranger wrote may be fetched: the judgement, without I/O (fetch.py fetches).

Two questions, asked in this order. `check_url`: is the URL written plainly, in a scheme and for a port that
are allowed, with a host that can be read in only one way? `is_public`: is an address, once the name has been
resolved, one of the public internet? Both must be answered yes for *every* address of the name, and the
address that was judged is the one that is dialled, so that a name which answers differently the next time
gains nothing.

`ipaddress.is_global` alone is not enough: in Python 3.11 it calls several special ranges global, and it does
not look at the IPv4 address inside an IPv6 one, which a gateway on the path unpacks.
"""

import re
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import httpx2

from gateway.transport.outgoing import PORTS as DEFAULT_PORTS
from gateway.transport.outgoing import Origin
from providers.errors import ErrorKind, ProviderError

Network: TypeAlias = IPv4Network | IPv6Network

PORTS = (443, 80, 8443, 8080)

_SPECIAL: Sequence[Network] = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # the virtual host of Azure, a public address that is not public
            "192.0.0.0/24",  # protocol assignments, a cloud's metadata service among them
            "192.88.99.0/24",  # 6to4 relays
            "224.0.0.0/4",  # multicast
            "::/96",  # IPv4-compatible
            "64:ff9b:1::/48",  # local NAT64
            "100::/64",  # discard
            "2001::/23",  # protocol assignments, Teredo among them
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing
            "fec0::/10",  # site-local
            "ff00::/8",  # multicast
        ),
    )
)
"""Ranges that `is_global` calls global and a fetch must not reach."""

_NAT64 = IPv6Network("64:ff9b::/96")
"""How an IPv6-only network reaches IPv4: as public as the address inside."""

_PLAIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^/?#@\s%:\[\]]+)(:[0-9]{1,5})?([/?#]\S*)?", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_NUMERIC = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class RefusedLink(ProviderError):
    """A link that is not followed, and why: the end of a sentence that begins with the link."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorKind.INVALID_REQUEST, f"The link cannot be fetched: {reason}.", sent=False)
        self.reason = reason


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Whether a numeric address lies in one of these networks."""
    try:
        parsed = _unpacked(ip_address(address))
    except ValueError:
        return False
    return any(parsed in ip_network(network) for network in networks)


def is_public(address: str, allow_networks: Sequence[str] = ()) -> bool:
    """Whether a numeric address is of the public internet, or in one of the networks allowed all the same."""
    if is_within(address, allow_networks):
        return True
    try:
        parsed = _unpacked(ip_address(address))
    except ValueError:
        return False
    return parsed.is_global and not any(parsed in network for network in _SPECIAL)


def check_url(
    url: str, *, allow_http: bool = False, ports: Collection[int] = PORTS, allow_networks: Sequence[str] = ()
) -> Origin:
    """Where the URL leads, its host in the one form that everything after uses. Raises INVALID_REQUEST.

    A host that is an address is judged here; a name still has to be resolved, and every address judged.
    """
    match = _PLAIN.fullmatch(url)
    if match is None or _UNPRINTABLE.search(url):
        raise RefusedLink("it must be a plain https:// URL without a user name, spaces or backslashes")
    if match[1].lower() != "https" and not allow_http:
        raise RefusedLink("it must begin with https://")
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise RefusedLink("its host is not valid") from error
    port = DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if port not in ports:
        raise RefusedLink(f"port {port} is not one of {', '.join(map(str, sorted(ports)))}")
    return Origin(parsed.scheme, _judged(host, allow_networks), port)


def _judged(host: str, allow_networks: Sequence[str]) -> str:
    """The host without its final dot, an address in its usual spelling. Raises INVALID_REQUEST."""
    host = host.removesuffix(".")
    if ":" not in host and _NUMERIC.fullmatch(host.rpartition(".")[2]) is None:
        if len(host) > 253 or not all(map(_LABEL.fullmatch, host.split("."))):
            raise RefusedLink("its host is not a valid name")
        return host
    try:
        address = str(ip_address(host))
    except ValueError as error:  # 127.1, 2130706433, 0x7f.1, 0177.0.0.1: a number that readers disagree about
        raise RefusedLink("its host is a number but not a plain address") from error
    if not is_public(address, allow_networks):
        raise RefusedLink("its host is not on the public internet")
    return address


def _unpacked(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where the two are reached in the same way."""
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        raise ValueError("an address with a zone is local")
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address
