"""Downloads: the right bytes for every range, nothing whole in memory, nothing left open."""

import asyncio
import os
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.content import RangeError, choose
from gateway.store import jobs, media_rows
from gateway.store.media_rows import MediaRow
from tests.api.video_app import Served, served
from tests.service.video_provider import MP4, Provider
from tests.service.video_rig import ANN, snapshot, target

ETAG = '"abc"'


RANGES = st.text("bytes=-,0123456789 ", max_size=20) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True)


@given(RANGES, st.integers(1, 50))
def test_every_range_header_gives_a_part_of_the_file(header: str, size: int) -> None:
    try:
        part = choose({"range": header}, ETAG, size)
    except RangeError:
        return
    assert 0 <= part.start < part.end <= size
    assert part.status == 206 or (part.start, part.end) == (0, size)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, (200, 0, 10)),
        ({"range": "bytes=2-4"}, (206, 2, 5)),
        ({"range": "bytes=2-"}, (206, 2, 10)),
        ({"range": "bytes=-3"}, (206, 7, 10)),
        ({"range": "bytes=-99"}, (206, 0, 10)),
        ({"range": "bytes=0-99"}, (206, 0, 10)),
        ({"range": "bytes=4-2"}, (200, 0, 10)),
        ({"range": "bytes=0-1,4-5"}, (200, 0, 10)),
        ({"range": "items=0-1"}, (200, 0, 10)),
        ({"range": "bytes=2-4", "if-range": ETAG}, (206, 2, 5)),
        ({"range": "bytes=2-4", "if-range": '"old"'}, (200, 0, 10)),
        ({"range": "bytes=2-4", "if-range": "Wed, 21 Oct 2026 07:28:00 GMT"}, (200, 0, 10)),
        ({"if-none-match": ETAG}, (304, 0, 0)),
        ({"if-none-match": '"x", W/"abc"'}, (304, 0, 0)),
        ({"if-none-match": "*"}, (304, 0, 0)),
        ({"if-none-match": '"x"'}, (200, 0, 10)),
    ],
)
def test_conditions_and_ranges_follow_the_standard(
    headers: dict[str, str], expected: tuple[int, int, int]
) -> None:
    part = choose(headers, ETAG, 10)
    assert (part.status, part.start, part.end) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_beyond_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeError) as refused:
        choose({"range": header}, ETAG, 10)
    assert refused.value.headers == {"content-range": "bytes */10"}


async def test_ranges_conditions_and_head_over_http(tmp_path: Path) -> None:
    async with Provider() as one, served(tmp_path, snapshot(target("one", one.url))) as s:
        job = await s.stories.over(await s.stories.create())
        headers = {"authorization": "Bearer ann"}
        async with httpx2.AsyncClient(base_url=s.url, headers=headers) as http:
            url = f"/v1/videos/{job.id}/content"
            whole = await http.get(url)
            assert whole.content == MP4
            assert whole.headers["content-length"] == str(len(MP4))
            assert whole.headers["accept-ranges"] == "bytes"
            assert whole.headers["content-disposition"] == f'attachment; filename="{job.id}.mp4"'
            assert whole.headers["x-content-type-options"] == "nosniff"
            part = await http.get(url, headers={"range": "bytes=100-300099"})
            assert (part.status_code, part.content) == (206, MP4[100:300100])
            assert part.headers["content-range"] == f"bytes 100-300099/{len(MP4)}"
            same = await http.get(url, headers={"if-none-match": whole.headers["etag"]})
            assert (same.status_code, same.content) == (304, b"")
            head = await http.head(url)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(MP4))
            beyond = await http.get(url, headers={"range": "bytes=9999999-"})
            assert (beyond.status_code, beyond.json()["error"]["code"]) == (416, "range_not_satisfiable")
            assert beyond.headers["content-range"] == f"bytes */{len(MP4)}"
            missing = await http.get(url, params={"variant": "spritesheet"})
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "variant_unavailable")


async def test_a_large_file_passes_through_and_a_lost_reader_leaves_nothing_open(tmp_path: Path) -> None:
    size = 64 << 20
    async with served(tmp_path, snapshot(target("one", "http://127.0.0.1:9")), running=False) as s:
        job = await s.stories.create()
        await put_content(s, job.id, size)
        before = open_files(tmp_path)
        headers = {"authorization": "Bearer ann"}
        url = f"{s.url}/v1/videos/{job.id}/content"
        peak = resident()
        async with httpx2.AsyncClient(headers=headers) as http:
            async with http.stream("GET", url) as answer:
                got = 0
                async for piece in answer.aiter_raw():
                    got += len(piece)
            assert got == size
            assert resident() - peak < size // 2
            async with http.stream("GET", url) as answer:
                await anext(aiter(answer.aiter_raw()))
                assert open_files(tmp_path) == before + 1
        async with asyncio.timeout(5):
            while open_files(tmp_path) > before:
                await asyncio.sleep(0.01)


async def put_content(s: Served, job: str, size: int) -> None:
    """Give a job a sparse file of that size."""
    parts = s.stories.parts
    async with parts.media.draft(size) as draft:
        await draft.add(MP4[:100])
        stored = await draft.keep()
    os.truncate(parts.media._drafts / stored.name, size)
    row = MediaRow(
        name=stored.name, role="video", mime="video/mp4", size=size, sha256=stored.sha256, created_at=1.0
    )
    async with parts.database.write() as transaction:
        await media_rows.add_media(transaction, job, [row])
        found = await jobs.get(transaction, ANN.id, job)
        assert found is not None
        await transaction.exec_driver_sql("update jobs set state = 'completed'")


def open_files(folder: Path) -> int:
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    return sum(str(folder / "media") in str(link.readlink()) for link in links if link.is_symlink())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
