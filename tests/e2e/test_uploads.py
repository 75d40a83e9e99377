"""Uploads that are too large, or that end in the middle: refused while they come, and nothing is kept of them."""

import json
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.e2e.processes import until
from tests.e2e.stage import Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
MIB = 1024 * 1024
PART = b"--b\r\ncontent-disposition: form-data; name="
BEGUN = PART + b'"prompt"\r\n\r\nx\r\n' + PART + b'"%b"; filename="a.png"\r\n\r\n\x89PNG\r\n\x1a\n'


@contextmanager
def posting(guest: Guest, path: str, framing: str) -> Iterator[socket.socket]:
    """A connection on which the head of a form has been sent."""
    url = httpx2.URL(guest.url)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as wire:
        wire.sendall(
            f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {guest.key}\r\n"
            f"content-type: multipart/form-data; boundary=b\r\n{framing}\r\n\r\n".encode()
        )
        yield wire


def answer(wire: socket.socket) -> tuple[int, dict[str, str]]:
    """Status and error of what came back."""
    got = b""
    while b"\r\n\r\n" not in got or not got.endswith(b"}}"):
        got += wire.recv(65536)
    return int(got.split(b" ")[1]), json.loads(got.partition(b"\r\n\r\n")[2])["error"]


def peak(stage: Stage) -> int:
    """The most memory that the gateway ever had, in bytes."""
    status = Path(f"/proc/{stage.gateway.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def media(stage: Stage) -> set[str]:
    return {path.name for path in (stage.gateway.data_dir / "media").iterdir()}


SURFACES = [
    ("/v1/videos", "input_reference", 25),
    ("/v1/videos/edits", "video", 50),
    ("/v1/videos/characters", "video", 50),
    ("/v1/files", "file", 200),
    ("/v1/video/generations", "video", 50),
]


def refusal(path: str) -> tuple[int, str]:
    """Status and code for too much: what a video is made from is a bad value, a file to keep a large request."""
    return (413, "request_too_large") if path == "/v1/files" else (400, "file_too_large")


@pytest.mark.parametrize(("path", "field", "most"), SURFACES)
def test_a_gigabyte_that_is_announced_is_refused_before_it_is_sent(
    stage: Stage, guest: Guest, path: str, field: str, most: int
) -> None:
    with posting(guest, path, f"content-length: {1024 * MIB}") as wire:
        status, error = answer(wire)
    assert (status, error["code"], error["param"]) == (*refusal(path), field)
    for part in (str(1024 * MIB), field, str(most * MIB)):
        assert part in error["message"]
    assert guest.ids() == []


@pytest.mark.parametrize(("path", "field", "most"), [*SURFACES[:2], ("/v1/files", "file", 200)])
def test_a_gigabyte_that_just_comes_is_refused_in_time_and_never_held_in_memory(
    stage: Stage, guest: Guest, path: str, field: str, most: int
) -> None:
    before, high, sent = media(stage), peak(stage), 0
    with posting(guest, path, "transfer-encoding: chunked") as wire:
        head = BEGUN % field.encode()
        wire.sendall(b"%x\r\n%b\r\n" % (len(head), head))
        piece = b"10000\r\n%b\r\n" % bytes(65536)
        while sent < 1024 * MIB and not select.select([wire], [], [], 0)[0]:
            wire.sendall(piece)
            sent += 65536
        status, error = answer(wire)
    assert (status, error["code"], error["param"]) == (*refusal(path), field)
    assert str(most * MIB) in error["message"]
    assert sent < (most + 100) * MIB
    assert peak(stage) - high < 20 * MIB
    assert media(stage) <= before
    assert guest.ids() == []


@pytest.mark.parametrize("name", [b"purpose", b"file"])
def test_text_in_the_place_of_a_file_is_not_held_in_memory(stage: Stage, guest: Guest, name: bytes) -> None:
    high, text = peak(stage), 120 * MIB
    head = PART + b'"%b"\r\n\r\n' % name
    with posting(guest, "/v1/files", f"content-length: {len(head) + text}") as wire:
        wire.sendall(head)
        piece = bytes(MIB)
        while text and not select.select([wire], [], [], 0)[0]:
            wire.sendall(piece)
            text -= MIB
        status, error = answer(wire)
    assert (status, error["code"]) == (413, "request_too_large")
    assert "of text" in error["message"]
    assert peak(stage) - high < 80 * MIB


@pytest.mark.parametrize("framing", [f"content-length: {4 * MIB}", "transfer-encoding: chunked"])
def test_a_client_that_leaves_in_the_middle_is_no_fault_of_the_server(
    stage: Stage, guest: Guest, framing: str
) -> None:
    name = guest.key.removeprefix("sk-fl-").replace("-", "_")
    with posting(guest, "/v1/videos", framing) as wire:
        begun = BEGUN % b"input_reference" + bytes(2 * MIB)
        wire.sendall(b"%x\r\n%b\r\n" % (len(begun), begun) if "chunked" in framing else begun)
    lines = until(lambda: [one for one in stage.gateway.said().splitlines() if f'"key":"{name}"' in one])
    assert [json.loads(line)["status"] for line in lines] == [499]
    metrics = httpx2.get(f"{guest.url}/metrics").text
    assert 'gateway_client_disconnects_total{http_route="/v1/videos"}' in metrics
    assert guest.ids() == []
