"""What all dialects of video share."""

from typing import Any

import pytest
from msgspec.structs import replace

from providers.errors import ProviderError
from providers.types import HttpResponse, Media, Secret, Target
from providers.video import VIDEO
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


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("dialect", VIDEO.values(), ids=VIDEO)
def test_text_in_another_encoding_is_a_failure_of_the_providers(dialect: Any, status: int) -> None:
    latin = '{"id": "1", "error": {"message": "überlastet"}}'.encode("latin-1")
    answer = HttpResponse(status=status, headers={}, body=latin)
    assert isinstance(dialect.error(answer), ProviderError)
    for read in (dialect.video_created, dialect.video_update):
        try:
            read(answer)
        except ProviderError:
            continue  # anything else would be an internal error of ours
