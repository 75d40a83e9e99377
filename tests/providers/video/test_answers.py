"""What all dialects of video share."""

from msgspec.structs import replace

from providers.types import Media, Secret, Target
from providers.video.answers import file_at, link_of

TARGET = Target(
    provider="p", dialect="d", base_url="https://api.p.example/v1", model="m", credential=Secret("k"),
    headers={"x-team": "a"},
)  # fmt: skip
KEY = {"authorization": "Bearer k"}


def test_only_the_providers_own_host_is_shown_the_credential() -> None:
    own = file_at("https://api.p.example/files/1.mp4", TARGET, KEY)
    assert own.headers == {**KEY, "x-team": "a"}
    for url in ("https://cdn.example/1.mp4", "http://api.p.example/1.mp4", "https://api.p.example:444/1.mp4"):
        request = file_at(url, TARGET, KEY)
        assert (request.method, request.url, request.headers) == ("GET", url, {})
    assert file_at("https://api.p.example.evil/1", replace(TARGET, headers={}), KEY).headers == {}


def test_a_picture_travels_as_its_link_or_as_its_bytes() -> None:
    link = Media(role="first_frame", mime="", url="https://a.example/1.png")
    assert link_of(link) == "https://a.example/1.png"
    assert link_of(Media(role="first_frame", mime="image/png", data=b"abc")) == "data:image/png;base64,YWJj"
