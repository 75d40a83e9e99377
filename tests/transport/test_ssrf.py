"""The guard's judgement, case by case; and what no case list covers, as properties."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.outgoing import Origin
from gateway.transport.ssrf import check_url, is_public
from providers.errors import ErrorKind, ProviderError


def read_vectors() -> list[tuple[str, str]]:
    lines = (Path(__file__).parent / "ssrf_vectors.txt").read_text().splitlines()
    cases = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(verdict, case.encode().decode("unicode_escape")) for verdict, _, case in cases]


VECTORS = read_vectors()


def test_there_are_enough_cases_and_none_twice() -> None:
    assert len(VECTORS) >= 120
    assert len(set(VECTORS)) == len(VECTORS)


@pytest.mark.parametrize(("verdict", "case"), VECTORS)
def test_the_verdict(verdict: str, case: str) -> None:
    if verdict in ("public", "private"):
        assert is_public(case) == (verdict == "public")
    elif verdict == "refuse":
        with pytest.raises(ProviderError) as caught:
            check_url(case)
        assert (caught.value.kind, caught.value.sent) == (ErrorKind.INVALID_REQUEST, False)
        assert "secret" not in caught.value.message
    else:
        host = check_url(case).host
        assert (verdict == "allow") == is_public(host)


def test_names_are_normalised_once() -> None:
    assert check_url("https://EXAMPLE.com.:443/x") == Origin("https", "example.com", 443)
    assert check_url("https://Bücher.example") == Origin("https", "xn--bcher-kva.example", 443)
    assert check_url("https://[2606:4700:4700:0:0:0:0:1111]").host == "2606:4700:4700::1111"


def test_http_and_other_ports_only_when_asked_for() -> None:
    assert check_url("http://example.com", allow_http=True) == Origin("http", "example.com", 80)
    assert check_url("https://example.com:9000", ports=(9000,)).port == 9000
    with pytest.raises(ProviderError, match="port 443 is not one of 9000"):
        check_url("https://example.com", ports=(9000,))


def test_networks_of_the_house_may_be_allowed() -> None:
    networks = ("10.1.0.0/16", "fd00:1::/32")
    assert is_public("10.1.2.3", networks)
    assert is_public("::ffff:10.1.2.3", networks)
    assert is_public("fd00:1::5", networks)
    assert check_url("https://10.1.2.3/", allow_networks=networks).host == "10.1.2.3"
    for outside in ("10.2.0.1", "127.0.0.1", "fd00:2::1", "2002:a01:203::1", "::10.1.2.3"):
        assert not is_public(outside, networks)


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_address_is_as_public_as_what_it_stands_for(address: ipaddress.IPv4Address) -> None:
    inside = int(address)
    public = is_public(str(address))
    assert not (public and not address.is_global)
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | inside))) == public
    for wrapped in (inside, 0x2002 << 112 | inside << 80, 0x20010000 << 96 | inside ^ 0xFFFFFFFF):
        assert not is_public(str(ipaddress.IPv6Address(wrapped)))


@given(st.text(max_size=40))
def test_whatever_is_written_the_verdict_is_one_of_two(tail: str) -> None:
    try:
        origin = check_url("https://" + tail)
    except ProviderError:
        return
    assert origin.host.isascii()
    assert origin.host == origin.host.lower()
