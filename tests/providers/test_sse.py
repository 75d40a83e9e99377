"""What readers of event streams may rely on, however the network cuts the bytes."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import ErrorKind, ProviderError
from providers.sse import MAX_PENDING, Event, Splitter

FIXTURES = Path(__file__).parents[1] / "fixtures" / "chat"

LINES = st.sampled_from(
    [
        *(b"data: a", b"data:b", b"data", b"data:", b"data:  two", b'data: {"a":1}', "data: é…".encode()),
        *(b": comment", b"event: ping", b"event:x", b"id: 1", b"retry: 5", b"unknown: y", b"", b""),
        b"\xef\xbb\xbfdata: bom",
    ]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def read(pieces: list[bytes]) -> list[Event]:
    splitter = Splitter()
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.end()


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(stream) + 1) for place in places})
    return [stream[start:stop] for start, stop in zip([0, *at], [*at, len(stream)], strict=True)]


@given(STREAMS, st.lists(st.integers(min_value=0), max_size=8))
def test_events_do_not_depend_on_where_the_network_cuts(stream: bytes, places: list[int]) -> None:
    assert read(cut(stream, places)) == read([stream])


@given(STREAMS)
def test_byte_by_byte_gives_the_same_events(stream: bytes) -> None:
    assert read([stream[at : at + 1] for at in range(len(stream))]) == read([stream])


@given(st.lists(st.tuples(st.sampled_from(["", "ping"]), st.sampled_from(["a", "b\nc", "{}"])), max_size=6))
def test_what_is_written_is_read(events: list[tuple[str, str]]) -> None:
    for end in ("\n", "\r\n", "\r"):
        lines = []
        for name, data in events:
            lines += [f"event: {name}"] if name else []
            lines += [*(f"data: {line}" for line in data.split("\n")), ""]
        stream = "".join(line + end for line in lines).encode()
        assert read([stream]) == [Event(name, data.encode()) for name, data in events]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"\xef\xbb\xbfdata: x\n\n", [Event("", b"x")], id="byte order mark"),
        pytest.param(b"data: x", [Event("", b"x")], id="no empty line at the end"),
        pytest.param(b"data: a\ndata:b\n\n", [Event("", b"a\nb")], id="several data lines"),
        pytest.param(b": hi\n\ndata:x\n\n: bye\n\n", [Event("", b"x")], id="comments"),
        pytest.param(b"event: error\ndata: {}\n\n", [Event("error", b"{}")], id="named"),
        pytest.param(b"event: ping\n\ndata:\n\ndata: \n\n", [], id="without data"),
        pytest.param(b"id: 1\nretry: 9\ndata: x\n\n", [Event("", b"x")], id="other fields"),
        pytest.param(b"data: [DONE] \n\n\n\n", [Event("", b"[DONE] ")], id="done with a space"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_shapes_seen_in_the_wild(stream: bytes, events: list[Event]) -> None:
    assert read([stream]) == events


def test_every_recorded_stream_is_read_whole() -> None:
    for path in FIXTURES.glob("*/*.sse"):
        stream = path.read_bytes()
        assert len(read([stream])) == sum(line.startswith(b"data:") for line in stream.splitlines()), path


def test_an_event_without_end_is_refused_before_it_fills_the_memory() -> None:
    piece = b"data: " + b"x" * 65_530
    with pytest.raises(ProviderError) as caught:
        read([piece] * (MAX_PENDING // len(piece) + 2))
    assert caught.value.kind is ErrorKind.PROTOCOL


def test_a_large_event_in_small_pieces_takes_time_in_proportion() -> None:
    def seconds(size: int) -> float:
        splitter = Splitter()
        begun = time.process_time()
        splitter.feed(b"data: ")
        for _ in range(size // 16):
            splitter.feed(b"x" * 16)
        (event,) = splitter.feed(b"\n\n")
        assert len(event.data) == size
        return time.process_time() - begun

    small = max(min(seconds(100_000) for _ in range(3)), 1e-3)
    assert seconds(1_600_000) < small * 16 * 6  # a reader that recopies would need 256 times as long
