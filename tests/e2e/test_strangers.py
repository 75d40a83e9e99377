"""Nobody learns anything of somebody else's videos, by any verb the gateway describes and in any way to write an id."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.e2e.stage import Guest, Stage

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
NOBODYS = "video_00000000000000000000000000"
SURFACES = ("/v1/videos", "/v1/video/")
BODIES: Mapping[str, list[dict[str, Any]]] = {
    "post": [
        {"json": {"prompt": "Bluer"}},
        {"json": {"prompt": ""}},
        {"data": {"prompt": "Bluer"}},
        {"content": b"{", "headers": {"content-type": "application/json"}},
        {"content": b"", "headers": {"content-type": "text/plain"}},
    ]
}
"""What is sent along: good bodies and bad ones must be answered alike too."""
VARIANTS = ("", "?variant=video", "?variant=thumbnail", "?variant=spritesheet", "?variant=poster")


def described(stage: Stage) -> Iterator[tuple[str, str]]:
    """Method and path of every route about videos, from the gateway's own description."""
    document = httpx2.get(f"{stage.gateway.url}/openapi.json").json()
    for path, verbs in document["paths"].items():
        if path.startswith(SURFACES):
            for method in verbs.keys() & {"get", "head", "post", "put", "patch", "delete"}:
                yield method, path


def requests(stage: Stage) -> list[tuple[str, str, dict[str, Any]]]:
    """Every way to ask after one video: method, path with `{}` for the id, body."""
    found = []
    for method, path in described(stage):
        if "{" not in path:
            continue
        assert path.count("{") == 1, "a second parameter: say here what to put there"
        place = path[: path.index("{")] + "{}" + path[path.index("}") + 1 :]
        endings = VARIANTS if path.endswith("/content") else ("",)
        found += [(method, place + ending, body) for ending in endings for body in BODIES.get(method, [{}])]
    return found


def told(answer: httpx2.Response) -> tuple[Any, ...]:
    """All that an answer tells, but for its number and its time."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    return answer.status_code, answer.text, tuple(sorted(headers.items()))


def forms(identity: str) -> list[str]:
    """An id in the ways a client may write it into a path."""
    escaped = "".join(f"%{byte:02X}" for byte in identity.encode())
    return [
        identity,
        escaped,
        identity.upper(),
        identity.removeprefix("video_"),
        f"{identity}%20",
        f"{identity}%00",
    ]


@pytest.fixture(scope="module")
def owner(stage: Stage) -> Iterator[Guest]:
    guest = stage.guest()
    yield guest
    guest.close()


@pytest.fixture(scope="module")
def identities(stage: Stage, owner: Guest) -> list[str]:
    """Videos of the owner's in every state."""
    waiting = owner.openai.videos.create(model="waiting", prompt=stage.prompt())
    failed = owner.openai.videos.create_and_poll(model="broken", prompt=stage.prompt())
    return [owner.made(stage.prompt()).id, waiting.id, failed.id]


def test_every_verb_that_is_known_is_among_those_described(stage: Stage) -> None:
    assert set(described(stage)) >= {
        ("post", "/v1/videos"),
        ("get", "/v1/videos"),
        ("get", "/v1/videos/{video_id}"),
        ("delete", "/v1/videos/{video_id}"),
        ("post", "/v1/videos/{video_id}/remix"),
        ("get", "/v1/videos/{video_id}/content"),
        ("head", "/v1/videos/{video_id}/content"),
        ("post", "/v1/video/generations"),
        ("get", "/v1/video/generations/{video_id}"),
        ("get", "/v1/video/generations/{video_id}/content"),
        ("head", "/v1/video/generations/{video_id}/content"),
    }


def test_a_strangers_video_looks_as_if_it_had_never_been(
    stage: Stage, owner: Guest, identities: list[str], guest: Guest
) -> None:
    before = [owner.http.get(f"/v1/videos/{identity}").json() for identity in identities]
    ways = requests(stage)
    assert len(ways) >= 20
    for method, place, body in ways:
        expected = told(guest.http.request(method, place.format(NOBODYS), **body))
        allowed = (400, 404) if body or "poster" in place else (404,)
        assert expected[0] in allowed, (method, place, body)
        for identity in identities:
            for form in forms(identity):
                answer = guest.http.request(method, place.format(form), **body)
                assert told(answer) == expected, (method, place, form)
    assert guest.ids() == []
    after = [owner.http.get(f"/v1/videos/{identity}").json() for identity in identities]
    assert [video["id"] for video in after] == identities
    assert after[0] == before[0]
    assert after[2] == before[2]


def test_all_verbs_refuse_a_stranger_with_the_same_words(
    stage: Stage, identities: list[str], guest: Guest
) -> None:
    plain = [
        guest.http.request(
            method, place.format(identity), json={"prompt": "Bluer"} if method == "post" else None
        )
        for method, place, body in requests(stage)
        if "poster" not in place and body in ({}, BODIES["post"][0])
        for identity in identities
    ]
    assert {answer.status_code for answer in plain} == {404}
    spoken = [answer for answer in plain if answer.request.method != "HEAD"]
    of_characters = [answer for answer in spoken if "/characters/" in answer.request.url.path]
    assert len({answer.text for answer in of_characters}) == 1
    assert len({answer.text for answer in spoken if answer not in of_characters}) == 1
    assert {answer.text for answer in plain if answer.request.method == "HEAD"} == {""}
    assert not any(identity in answer.text for identity in identities for answer in spoken)


def test_ids_that_are_none_are_answered_like_ids_of_nobody(stage: Stage, guest: Guest) -> None:
    odd = [
        "x",
        "video_",
        "video_" + "0" * 100,
        "..%2Fetc%2Fpasswd",
        "%27%20or%201=1--",
        "%F0%9F%8E%AC",
        "%00",
        "*",
    ]
    for method, place, body in requests(stage):
        expected = told(guest.http.request(method, place.format(NOBODYS), **body))
        for identity in odd:
            answer = guest.http.request(method, place.format(identity), **body)
            if "2F" not in identity:  # a slash may lead to another path, which is not there either
                assert told(answer) == expected, (method, place, identity)
            assert 400 <= answer.status_code < 500
    longest = guest.http.get("/v1/videos/" + quote("v" * 201))
    assert longest.status_code in (400, 404)


def test_lists_never_hold_or_reveal_what_is_somebody_elses(identities: list[str], guest: Guest) -> None:
    empty: dict[str, Any] = {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }
    for after in (*identities, NOBODYS, None):
        for order in ("asc", "desc"):
            found = guest.http.get(
                "/v1/videos", params={"order": order, **({"after": after} if after else {})}
            )
            assert found.json() == empty


def test_an_idempotency_key_means_something_to_its_owner_alone(
    stage: Stage, guests: Callable[[], Guest]
) -> None:
    key, words = {"idempotency-key": "order-1"}, stage.prompt()
    one, other = guests(), guests()
    mine = one.openai.videos.create(model="waiting", prompt=words, extra_headers=key)
    theirs = other.openai.videos.create(model="waiting", prompt=words, extra_headers=key)
    assert mine.id != theirs.id
    different = other.http.post("/v1/videos", json={"model": "waiting", "prompt": "x"}, headers=key)
    assert mine.id not in different.text
    again = one.openai.videos.create(
        model="waiting", prompt=words, extra_headers={"x-stainless-retry-count": "1"}
    )
    assert again.id == mine.id


@pytest.mark.parametrize(
    "key", ["", "Bearer", "Bearer sk-fl-nobody", "Basic c2stZmwtZ3Vlc3QtMA==", "sk-fl-guest-0"]
)
def test_without_a_key_of_ours_every_verb_answers_401_before_anything_else(
    stage: Stage, identities: list[str], key: str
) -> None:
    headers = {"authorization": key} if key else {}
    with httpx2.Client(base_url=stage.gateway.url, headers=headers, timeout=10, verify=False) as http:
        answers = [
            http.request(method, path.replace("{video_id}", identities[0]))
            for method, path in described(stage)
        ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers if answer.request.method != "HEAD"}) == 1
    assert all(answer.headers["www-authenticate"] == "Bearer" for answer in answers)
