"""`/v1/videos` with the official OpenAI client in front, over real sockets."""

import asyncio
import base64
import re
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from msgspec.structs import replace
from openai.types import Video

from gateway.config.snapshot import Terms
from tests.api.video_app import served
from tests.service.video_provider import MP4, PNG, Provider
from tests.service.video_rig import ANN, snapshot, target

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
NOWHERE = snapshot(target("one", "http://127.0.0.1:9", seconds=(4.0, 8.0), sizes=("720x1280", "1280x720")))
README = Path(__file__).parents[2] / "README.md"
STRICT_KEYS = {
    "id", "object", "model", "status", "progress", "created_at", "completed_at", "expires_at", "prompt",
    "size", "seconds", "remixed_from_video_id", "error",
}  # fmt: skip


def strict(body: dict[str, Any]) -> Video:
    assert set(body) >= STRICT_KEYS
    known = {name: body[name] for name in STRICT_KEYS}
    return Video.model_validate(known, strict=False)


async def test_a_client_says_where_its_video_is_to_be_made(tmp_path: Path) -> None:
    places = (("one", "us-east-1"), ("two", "eu-west-1"))
    async with Provider() as up:
        made = (replace(target(name, up.url), terms=Terms(region=region)) for name, region in places)
        async with served(tmp_path, snapshot(*made)) as s:
            where = {"x-fairlead-region": "eu"}
            video = await s.client().videos.create_and_poll(prompt="A red kite", extra_headers=where)
            assert (video.model_extra or {})["provider"] == "two"
            with pytest.raises(openai.BadRequestError, match="one/m: tags"):
                await s.client().videos.create(prompt="A red kite", extra_headers={"x-fairlead-tags": "zdr"})


async def test_a_client_says_by_when_its_video_must_be_there(tmp_path: Path) -> None:
    longest = {"x-fairlead-deadline": "90"}
    ways: list[tuple[str, dict[str, str], dict[str, str], int]] = [
        ("/v1/videos", {}, longest, 90),
        ("/v1/video/generations", {"model": "sora-2", "deadline": "30"}, longest, 30),
        ("/v1/videos/{first}/remix", {}, {}, 3600),  # what was said of the first is not said of its remix
        ("/v1/videos/{first}/remix", {}, longest, 90),
        ("/v1/videos/{first}/remix", {"deadline": "20"}, {}, 20),
    ]
    async with Provider() as up, served(tmp_path, snapshot(target("one", up.url))) as s:
        client, made = s.client(), []
        http = httpx2.AsyncClient(base_url=s.url, headers={"authorization": "Bearer ann"})
        async with http:
            for path, body, headers, _ in ways:
                said = {"prompt": "A red kite", **body}
                answer = await http.post(path.format(first=made and made[0]), json=said, headers=headers)
                made.append(answer.json()["id"])
                await client.videos.poll(made[0], poll_interval_ms=50)
            lives = await s.stories.rows("select id, deadline_at - created_at from jobs")
            assert {row[0]: round(row[1]) for row in lives} == {
                one: seconds for one, (*_, seconds) in zip(made, ways, strict=True)
            }
            for wrong in ("soon", "0", "-1", "3601", "nan", ""):
                no = await http.post("/v1/videos", json=said, headers={"x-fairlead-deadline": wrong})
                error = no.json()["error"]
                assert (no.status_code, error["param"]) == (400, "x-fairlead-deadline")
                assert "a number of seconds from 1 to 3600" in error["message"]


async def test_a_remix_says_itself_where_it_may_be_made(tmp_path: Path) -> None:
    terms = Terms(region="eu-west-1", tags=frozenset(("gold",)))
    async with Provider() as up:
        made = (target("one", up.url), replace(target("two", up.url), terms=terms))
        async with served(tmp_path, snapshot(*made)) as s:
            client = s.client()
            gold = {"x-fairlead-tags": "gold"}
            video = await client.videos.create_and_poll(prompt="A red kite", extra_headers=gold)
            for header, name in (("x-fairlead-tags", "zdr"), ("x-fairlead-region", "us")):
                with pytest.raises(
                    openai.BadRequestError, match=f"two/m: {header.rpartition('-')[2]}"
                ) as refused:
                    await client.videos.remix(video.id, prompt="By night", extra_headers={header: name})
                assert refused.value.code == "no_target"
            assert len(up.videos) == 1
            remix = await client.videos.remix(
                video.id, prompt="By night", extra_headers={"x-fairlead-region": "eu"}
            )
            request = (await s.stories.videos.get(ANN, remix.id)).request
            assert (request["region"], request["tags"]) == ("eu", ["gold"])  # what it does not say stays
            with pytest.raises(openai.BadRequestError, match="x-fairlead-region"):
                await client.videos.remix(video.id, prompt="x", extra_headers={"x-fairlead-region": "a b"})


async def test_create_and_poll_download_list_and_delete(tmp_path: Path) -> None:
    async with (
        Provider(polls=2, thumbnail=PNG) as one,
        served(tmp_path, snapshot(target("one", one.url))) as s,
    ):
        client = s.client()
        video = await client.videos.create_and_poll(
            model="sora-2", prompt="A red kite", seconds="8", size="1280x720"
        )
        assert (video.status, video.progress, video.seconds, video.size) == (
            "completed",
            100,
            "8",
            "1280x720",
        )
        extras = video.model_extra or {}
        assert (extras["provider"], extras["provider_model"], extras["cost_usd"]) == ("one", "m", 0.8)
        assert "up_0" not in str(video)
        content = await client.videos.download_content(video.id)
        assert content.content == MP4
        assert content.response.headers["content-type"] == "video/mp4"
        cover = await client.videos.download_content(video.id, variant="thumbnail")
        assert cover.content == PNG
        for stranger in (s.client("bob"), client):
            found = [one.id async for one in stranger.videos.list()]
            assert found == ([video.id] if stranger is client else [])
        gone = await client.videos.delete(video.id)
        assert (gone.id, gone.deleted, gone.object) == (video.id, True, "video.deleted")
        with pytest.raises(openai.NotFoundError):
            await client.videos.retrieve(video.id)


async def test_our_own_keys_are_described_in_the_readme(tmp_path: Path) -> None:
    async with Provider() as one, served(tmp_path, snapshot(target("one", one.url))) as s:
        video = await s.client().videos.create_and_poll(model="sora-2", prompt="A red kite")
    ours: dict[str, Any] = video.model_extra or {}
    described = re.findall(r"`(\w+)`", README.read_text(encoding="utf-8"))
    assert {*ours, *ours["attempts"][0], *ours["output"]} <= set(described)


async def test_every_way_a_client_writes_a_create_means_the_same(tmp_path: Path) -> None:
    fields = {"model": "sora-2", "prompt": "A red kite", "seconds": "8", "size": "1280x720", "seed": 42}
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        client = s.client()
        first = await client.videos.create(
            model="sora-2", prompt="A red kite", seconds="8", size="1280x720",
            extra_body={"seed": 42, "metadata": {"a": "b"}, "tags": ["x", "y"]},
        )  # fmt: skip
        assert set((first.model_extra or {})["warnings"]) == {
            "`metadata` is not a field of this call and was ignored",
            "`tags` is not a field of this call and was ignored",
        }
        headers = {"authorization": "Bearer ann"}
        json = await http.post("/v1/videos", json=fields, headers=headers)
        number = await http.post("/v1/videos", json={**fields, "seconds": 8}, headers=headers)
        form = await http.post("/v1/videos", data={k: str(v) for k, v in fields.items()}, headers=headers)
        nothing = await http.post("/v1/videos", json={**fields, "input_reference": None}, headers=headers)
        ids = [first.id, *(answer.json()["id"] for answer in (json, number, form, nothing))]
        jobs = [await s.stories.videos.get(ANN, one) for one in ids]
        assert len({job.fingerprint for job in jobs}) == 1
        assert jobs[0].request["seed"] == 42
        for answer in (json, number, form):
            assert answer.status_code == 200
            strict(answer.json())
            assert answer.headers["openai-poll-after-ms"] == "1000"


PICTURES = [
    ("bytes", PNG),
    ("named", ("a.png", PNG, "image/png")),
    ("mislabelled", ("a.txt", PNG, "text/plain")),
]


@pytest.mark.parametrize(("_name", "file"), PICTURES, ids=[name for name, _ in PICTURES])
async def test_a_picture_is_known_by_its_bytes(tmp_path: Path, _name: str, file: Any) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s:
        video = await s.client().videos.create(prompt="A kite", input_reference=file)
        job = await s.stories.videos.get(ANN, video.id)
        [row] = job.media
        assert (row.role, row.mime, row.size) == ("first_frame", "image/png", len(PNG))


async def test_a_linked_picture_may_be_bracketed_inline_or_a_link(tmp_path: Path) -> None:
    inline = "data:image/png;base64," + base64.b64encode(PNG).decode()
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        headers = {"authorization": "Bearer ann"}

        async def create(**body: Any) -> Any:
            answer = await http.post("/v1/videos", headers=headers, **body)
            assert answer.status_code == 200, answer.text
            return await s.stories.videos.get(ANN, answer.json()["id"])

        form = await create(files={"prompt": (None, "A kite"), "input_reference[image_url]": (None, inline)})
        assert form.media[0].mime == "image/png"
        json = await create(
            json={"prompt": "A kite", "input_reference": {"image_url": "https://x.example/a.png"}}
        )
        assert json.request["link"] == "https://x.example/a.png"
        assert json.media == ()


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({}, "prompt", "missing_required_parameter"),
    ({"prompt": ""}, "prompt", "invalid_value"),
    ({"prompt": 5}, "prompt", "invalid_type"),
    ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
    ({"seconds": "5"}, "seconds", "unsupported_value"),
    ({"seconds": "ten"}, "seconds", "invalid_value"),
    ({"seconds": -4}, "seconds", "invalid_value"),
    ({"seconds": True}, "seconds", "invalid_value"),
    ({"seconds": "nan"}, "seconds", "invalid_value"),
    ({"size": "1920x1080"}, "size", "unsupported_value"),
    ({"size": "big"}, "size", "invalid_value"),
    ({"size": 720}, "size", "invalid_value"),
    ({"seed": 1.5}, "seed", "invalid_value"),
    ({"n": 2}, "n", "invalid_value"),
    ({"audio": "loud"}, "audio", "invalid_value"),
    ({"on_unsupported": "explode"}, "on_unsupported", "invalid_value"),
    ({"model": "sora-9"}, "model", "model_not_found"),
    ({"callback_url": "https://127.0.0.1/"}, "callback_url", "invalid_value"),
    ({"input_reference": "https://x.example/a.png"}, "input_reference", "invalid_type"),
    ({"input_reference": {"file_id": "file_1"}}, "input_reference.file_id", "file_not_found"),
    ({"input_reference": {"file_id": 7}}, "input_reference.file_id", "invalid_type"),
    (
        {"input_reference": {"file_id": "file_1", "image_url": "https://x.example/a.png"}},
        "input_reference",
        "mutually_exclusive",
    ),
    ({"input_reference": {"image_url": "http://x.example"}}, "input_reference.image_url", "invalid_value"),
    (
        {"input_reference": {"image_url": "data:image/png;base64,###"}},
        "input_reference.image_url",
        "invalid_value",
    ),
    (
        {"input_reference": {"image_url": "data:a/b;base64,aGVsbG8="}},
        "input_reference.image_url",
        "invalid_image",
    ),
    ({"input_reference": [1]}, "input_reference", "invalid_value"),
]


async def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        for body, param, code in REFUSED:
            whole = body if "prompt" in body or not body else {"prompt": "A kite", **body}
            answer = await http.post("/v1/videos", json=whole, headers={"authorization": "Bearer ann"})
            error = answer.json()["error"]
            assert (error["param"], error["code"]) == (param, code), (body, error)
            assert answer.status_code == (404 if code == "model_not_found" else 400)
        wrong = await http.post(
            "/v1/videos", json={"prompt": "x", "seconds": "5"}, headers={"authorization": "Bearer ann"}
        )
        assert "seconds=5" in wrong.json()["error"]["message"]
        assert "allowed: 4, 8" in wrong.json()["error"]["message"]


async def test_broken_bodies_are_the_clients_fault(tmp_path: Path) -> None:
    multipart = "multipart/form-data; boundary=b"
    binary = b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\n\xff\xfe\r\n--b--\r\n'
    twice = b"".join(
        b'--b\r\ncontent-disposition: form-data; name="%b"\r\n\r\nx\r\n' % name for name in (b"a", b"a[b]")
    )
    bodies = [
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"[]", "invalid_json"),
        ("application/json", b"", "invalid_json"),
        ("application/json", b'{"prompt": ' + b"[" * 100_000, "invalid_json"),
        ("application/json", b'{"prompt": "\xff"}', "invalid_json"),
        ("text/plain", b"prompt", "unsupported_content_type"),
        ("multipart/form-data", b"x", "invalid_form"),
        (multipart, b"garbage", "invalid_form"),
        (multipart, binary, "invalid_form"),
        (multipart, twice + b"--b--\r\n", "invalid_value"),
    ]
    async with served(tmp_path, NOWHERE, running=False) as s, httpx2.AsyncClient(base_url=s.url) as http:
        for kind, body, code in bodies:
            headers = {"authorization": "Bearer ann", "content-type": kind}
            answer = await http.post("/v1/videos", content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), (kind, body[:40])
        headers = {"authorization": "Bearer ann"}
        text = {"prompt": (None, "A kite"), "input_reference": ("a.png", b"just text", "image/png")}
        answer = await http.post("/v1/videos", files=text, headers=headers)
        assert answer.json()["error"]["code"] == "invalid_image"
        large = {"prompt": (None, "A kite"), "input_reference": ("a.png", PNG + bytes(25 << 20), "image/png")}
        answer = await http.post("/v1/videos", files=large, headers=headers)
        error = answer.json()["error"]
        assert (answer.status_code, error["param"], error["code"]) == (
            400,
            "input_reference",
            "file_too_large",
        )
        assert f"at most {25 << 20}" in error["message"]
        many = [(f"f{at}", (f"{at}", b"x")) for at in range(21)]
        answer = await http.post("/v1/videos", files=many, headers=headers)
        assert (answer.status_code, "more than 20 files" in answer.text) == (400, True)
        answer = await http.post("/v1/videos", files={"a": ("a", bytes(27 << 20))}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "file_too_large")
        assert list((tmp_path / "media").iterdir()) == []


async def test_lists_page_forwards_and_backwards(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s:
        client = s.client()
        ids = [(await client.videos.create(prompt=f"Kite {number}")).id for number in range(5)]
        assert [one.id async for one in client.videos.list(limit=2, order="asc")] == sorted(ids)
        assert [one.id async for one in client.videos.list(limit=2)] == sorted(ids, reverse=True)
        page = await client.videos.list(limit=2, order="asc", after=sorted(ids)[2])
        assert ([one.id for one in page.data], page.has_more) == (sorted(ids)[3:], False)
        for bad in ({"limit": 101}, {"limit": -1}, {"order": "up"}):
            with pytest.raises(openai.BadRequestError):
                await client.videos.list(**bad)  # type: ignore[arg-type]
        empty = await client.videos.list(limit=0)
        assert (empty.data, empty.last_id) == ([], None)


async def test_the_official_clients_own_retry_makes_one_video(tmp_path: Path) -> None:
    async with served(tmp_path, NOWHERE, running=False) as s:
        posts: list[str] = []

        async def lose_two_answers(response: httpx2.Response) -> None:
            posts.append(response.request.headers["x-stainless-retry-count"])
            if len(posts) < 3:
                await response.aclose()
                raise httpx2.ReadError("the answer was lost")

        http = httpx2.AsyncClient(event_hooks={"response": [lose_two_answers]})
        video = await s.client(max_retries=2, http_client=http).videos.create(prompt="A red kite")
        assert posts == ["0", "1", "2"]
        page = await s.client().videos.list()
        assert [one.id for one in page.data] == [video.id]
        await http.aclose()


async def test_an_idempotency_key_is_honoured_over_http(tmp_path: Path) -> None:
    key = {"Idempotency-Key": "k-1"}
    async with served(tmp_path, NOWHERE, running=False) as s:
        client = s.client()
        made = await asyncio.gather(
            *(client.videos.create(prompt="A red kite", extra_headers=key) for _ in range(10))
        )
        assert len({video.id for video in made}) == 1
        with pytest.raises(openai.UnprocessableEntityError):
            await client.videos.create(prompt="Another kite", extra_headers=key)


async def test_strangers_and_the_keyless_learn_nothing(tmp_path: Path) -> None:
    async with Provider() as one, served(tmp_path, snapshot(target("one", one.url))) as s:
        video = await s.stories.over(await s.stories.create())
        async with httpx2.AsyncClient(base_url=s.url) as http:
            told = set()
            for identity in (video.id, "video_00000000000000000000000000"):
                for prefix in ("/v1/videos", "/v1/video/generations"):
                    for method, path, more in (
                        ("GET", "", {}),
                        ("GET", "/content", {}),
                        ("HEAD", "/content", {}),
                        ("DELETE", "", {}),
                        ("POST", "/remix", {"json": {"prompt": "Bluer"}}),
                    ):
                        if prefix.endswith("generations") and method in ("DELETE", "POST"):
                            continue
                        url = f"{prefix}/{identity}{path}"
                        answer = await http.request(
                            method, url, headers={"authorization": "Bearer bob"}, **more
                        )
                        told.add((answer.status_code, answer.text or "head"))
                        keyless = await http.request(method, url, **more)
                        assert keyless.status_code == 401
            assert {status for status, _ in told} == {404}
            assert len(told) == 2  # one body for all, and none for HEAD
        assert (await s.client().videos.retrieve(video.id)).status == "completed"
