"""A signed link opens exactly what it was made for, exactly as long as it says."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import Clock
from gateway.service.video_links import LIFE, Link, Links

NOW = 1_795_132_800.0
URL = "https://gateway.example/v1/video/generations/video_1/content"


def at(now: float, pepper: bytes = b"pepper") -> Links:
    return Links(pepper, Clock(now=lambda: now))


def read(url: str) -> Link:
    _, _, query = url.partition("?")
    return Link(**dict(part.split("=", 1) for part in query.split("&")))


LINK = read(at(NOW).sign(URL, "video_1"))


def test_a_link_opens_its_video_for_an_hour() -> None:
    assert at(NOW).sign(URL, "video_1").startswith(f"{URL}?expires=")
    assert at(NOW).opens("video_1", "video", LINK)
    assert at(NOW + LIFE - 1).opens("video_1", "video", LINK)
    assert not at(NOW + LIFE).opens("video_1", "video", LINK)


def test_a_link_does_not_outlive_its_content() -> None:
    link = read(at(NOW).sign(URL, "video_1", NOW + 10))
    assert at(NOW + 9).opens("video_1", "video", link)
    assert not at(NOW + 10).opens("video_1", "video", link)
    assert read(at(NOW).sign(URL, "video_1", NOW + 10 * LIFE)) == LINK


def test_every_process_with_the_pepper_opens_it_and_no_other_does() -> None:
    assert at(NOW + 5).opens("video_1", "video", LINK)
    assert not at(NOW, b"another").opens("video_1", "video", LINK)


@given(st.text(max_size=30), st.text(max_size=10), st.text(max_size=60), st.text(max_size=60))
def test_nothing_else_opens_anything(job: str, variant: str, expires: str, signature: str) -> None:
    links = at(NOW)
    assert not links.opens(job, variant, Link(expires=expires, signature=signature))
    for changed in (
        Link(expires=expires, signature=LINK.signature),
        Link(expires=LINK.expires, signature=signature),
        Link(expires=LINK.expires),
        Link(expires=LINK.expires, signature=f"{LINK.signature}x"),
        Link(expires=LINK.expires, signature=(LINK.signature or "")[:-1]),
        Link(signature=LINK.signature),
        Link(),
    ):
        assert links.opens("video_1", "video", changed) == (changed == LINK)
    assert links.opens(job, variant, LINK) == ((job, variant) == ("video_1", "video"))
