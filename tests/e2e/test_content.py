"""The bytes of a video: parts of it, conditions on it, what is said about it, and what serving it costs."""

import http.client
import io
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.e2e.processes import GatewayProcess, until
from tests.e2e.stage import Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
MIB = 1024 * 1024


class Shown:
    """A finished video of somebody's, and its bytes."""

    def __init__(self, guest: Guest, identity: str) -> None:
        self.guest = guest
        self.path = f"/v1/videos/{identity}/content"
        whole = guest.http.get(self.path)
        self.whole = whole.content
        self.etag = whole.headers["etag"]

    def get(self, **headers: str) -> Any:
        """Its content under these headers; `_` stands for `-`."""
        return self.guest.http.get(self.path, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.fixture(scope="module")
def shown(stage: Stage) -> Iterator[Shown]:
    guest = stage.guest()
    yield Shown(guest, guest.made(stage.prompt()).id)
    guest.close()


def test_what_is_said_about_the_file(shown: Shown) -> None:
    answer = shown.get()
    identity = shown.path.split("/")[3]
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["content-length"] == str(len(shown.whole))
    assert answer.headers["content-disposition"] == f'attachment; filename="{identity}.mp4"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "private" in answer.headers["cache-control"]
    assert re.fullmatch(r'"[0-9a-f]{32,}"', shown.etag)
    assert "content-encoding" not in shown.get(accept_encoding="gzip, br").headers


PARTS = [
    # what is asked for, and the part of 1000 bytes and more that it means
    ("bytes=0-0", slice(0, 1)),
    ("bytes=0-99", slice(0, 100)),
    ("bytes=100-199", slice(100, 200)),
    ("bytes=100-", slice(100, None)),
    ("bytes=-100", slice(-100, None)),
    ("bytes=0-99999999", slice(0, None)),
    ("bytes=-99999999", slice(0, None)),
    ("bytes = 5 - 9", slice(5, 10)),
]


@pytest.mark.parametrize(("asked", "part"), PARTS)
def test_a_part_is_sent_where_a_part_is_asked_for(shown: Shown, asked: str, part: slice) -> None:
    answer = shown.get(range=asked)
    assert answer.status_code == 206
    start, end, _ = part.indices(len(shown.whole))
    assert answer.content == shown.whole[part]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(shown.whole)}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == shown.etag


@pytest.mark.parametrize(
    "asked", ["bytes=0-9,20-29", "lines=0-9", "bytes=9-5", "bytes=-", "bytes=a-b", "bytes"]
)
def test_the_whole_is_sent_where_the_part_is_not_understood(shown: Shown, asked: str) -> None:
    answer = shown.get(range=asked)
    assert (answer.status_code, answer.content) == (200, shown.whole)


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-999999999", "bytes=-0"])
def test_a_part_beyond_the_end_is_refused_with_the_size(shown: Shown, asked: str) -> None:
    answer = shown.get(range=asked)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(shown.whole)}"
    assert answer.json()["error"]["code"] == "range_not_satisfiable"


def test_a_file_in_parts_is_the_file(shown: Shown) -> None:
    step = len(shown.whole) // 7 + 1
    parts = [
        shown.get(range=f"bytes={start}-{start + step - 1}", if_range=shown.etag).content
        for start in range(0, len(shown.whole), step)
    ]
    assert b"".join(parts) == shown.whole


def test_a_part_of_another_version_is_never_sent(shown: Shown) -> None:
    assert shown.get(range="bytes=0-9", if_range=shown.etag).status_code == 206
    for other in ('"another"', f"W/{shown.etag}", "Fri, 20 Nov 2026 12:00:00 GMT"):
        answer = shown.get(range="bytes=0-9", if_range=other)
        assert (answer.status_code, answer.content) == (200, shown.whole)


def test_what_the_client_has_already_is_not_sent_again(shown: Shown) -> None:
    for known in (shown.etag, f"W/{shown.etag}", f'"x", {shown.etag}', "*"):
        answer = shown.get(if_none_match=known)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == shown.etag
        assert shown.get(if_none_match=known, range="bytes=0-9").status_code == 304
    assert shown.get(if_none_match='"another"').status_code == 200


def test_head_says_what_get_would_and_sends_nothing(shown: Shown) -> None:
    fixed = ("content-type", "content-length", "content-disposition", "etag", "accept-ranges")
    head, whole = shown.guest.http.head(shown.path), shown.get()
    assert (head.status_code, head.content) == (200, b"")
    assert [head.headers[name] for name in fixed] == [whole.headers[name] for name in fixed]
    assert shown.guest.http.head(shown.path, headers={"if-none-match": shown.etag}).status_code == 304
    raw = http.client.HTTPConnection(shown.guest.url.removeprefix("http://"), timeout=10)
    for method in ("HEAD", "GET"):  # on one connection: a body after HEAD would be taken for the next answer
        raw.request(method, shown.path, headers={"authorization": f"Bearer {shown.guest.key}"})
        answer = raw.getresponse()
        assert (answer.status, answer.read()) == (200, shown.whole if method == "GET" else b"")
    raw.close()


def test_a_variant_that_is_not_there_is_never_answered_with_another(shown: Shown) -> None:
    for variant, status, code in (
        ("poster", 400, "invalid_value"),
        ("", 400, "invalid_value"),
    ):
        answer = shown.guest.http.get(shown.path, params={"variant": variant})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, "variant")
    cover = shown.guest.http.get(shown.path, params={"variant": "thumbnail"})
    assert cover.headers["content-type"] == "image/webp"
    assert cover.headers["content-disposition"].endswith('.webp"')
    assert cover.headers["etag"] != shown.etag
    sheet = shown.guest.openai.videos.download_content(shown.path.split("/")[-2], variant="spritesheet")
    assert sheet.response.headers["content-type"] == "image/jpeg"
    assert sheet.response.headers["etag"] not in (shown.etag, cover.headers["etag"])
    with Image.open(io.BytesIO(sheet.content)) as stills:
        still = Image.open(io.BytesIO(cover.content))
        assert (stills.format, stills.width % 3, stills.height % 3) == ("JPEG", 0, 0)
        assert stills.width / stills.height == pytest.approx(still.width / still.height, rel=0.1)


def test_there_is_no_content_before_the_end_nor_after_a_failure(stage: Stage, guest: Guest) -> None:
    waiting = guest.openai.videos.create(model="waiting", prompt=stage.prompt())
    for variant in ("video", "thumbnail", "spritesheet"):
        early = guest.http.get(f"/v1/videos/{waiting.id}/content", params={"variant": variant})
        assert (early.status_code, early.json()["error"]["code"]) == (409, "video_not_ready")
        assert early.headers["x-should-retry"] == "false"
    failed = guest.openai.videos.create_and_poll(model="broken", prompt=stage.prompt())
    answer = guest.http.get(f"/v1/videos/{failed.id}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "result_unavailable")
    nobody = guest.http.get("/v1/videos/video_00000000000000000000000000/content")
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (404, "video_not_found")


def test_content_whose_time_is_over_is_gone(stage: Stage, guest: Guest) -> None:
    video = guest.made(stage.prompt())
    stage.gateway.sql("update jobs set expires_at = 1 where id = ?", video.id)
    answer = guest.http.get(f"/v1/videos/{video.id}/content")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "expired")
    assert guest.openai.videos.retrieve(video.id).status == "completed"


def resident(gateway: GatewayProcess, name: str) -> int:
    """Bytes of memory of the gateway's process: `VmRSS` now, `VmHWM` at most since `forget_peak`."""
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak(gateway: GatewayProcess) -> None:
    Path(f"/proc/{gateway.pid}/clear_refs").write_text("5")


def enlarged(stage: Stage, identity: str, size: int) -> str:
    """Put a large file in the place of a video's own; its name."""
    [[name]] = stage.gateway.sql("select name from media where job = ? and role = 'video'", identity)
    with (stage.gateway.data_dir / "media" / name).open("wb") as file:
        file.truncate(size)
    stage.gateway.sql("update media set size = ? where name = ?", size, name)
    return str(name)


def test_a_large_video_never_stands_whole_in_memory(stage: Stage, guest: Guest) -> None:
    size, path = 200 * MIB, f"/v1/videos/{guest.made(stage.prompt()).id}/content"
    enlarged(stage, path.split("/")[3], size)
    guest.http.get(path, headers={"range": "bytes=0-9"})
    before = resident(stage.gateway, "VmRSS")
    forget_peak(stage.gateway)

    def download(_: int) -> int:
        with guest.http.stream("GET", path) as answer:
            return sum(len(piece) for piece in answer.iter_raw())

    with guest.http.stream("GET", path) as slow:  # one who takes a piece and then nothing more
        next(slow.iter_raw(1))
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(download, range(2))) == [size, size]
        assert resident(stage.gateway, "VmHWM") - before < 20 * MIB


def test_a_client_that_leaves_in_the_middle_leaves_no_file_open(stage: Stage, guest: Guest) -> None:
    identity = guest.made(stage.prompt()).id
    name = enlarged(stage, identity, 50 * MIB)

    def opened() -> bool:
        links = Path(f"/proc/{stage.gateway.pid}/fd").iterdir()
        return any(link.exists() and link.resolve().name == name for link in links)

    with guest.http.stream("GET", f"/v1/videos/{identity}/content") as answer:
        assert answer.status_code == 200, answer.read()
        next(answer.iter_raw(1))
        until(opened)
    until(lambda: not opened())
