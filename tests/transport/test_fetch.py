"""Fetching a stranger's link: only the public internet is reached, and little is told about the rest."""

import asyncio
import time

import pytest

from gateway.transport import fetch as module
from gateway.transport.fetch import Fetcher
from providers.errors import ErrorKind, ProviderError
from tests.transport.certificates import authority
from tests.transport.faulty import Faulty, Step, answer, chunked, close, drip, send, until_left
from tests.transport.loops import both_loops
from tests.transport.names import Names

PUBLIC, INSIDE = "93.184.215.14", "10.0.0.7"
HOST = "pictures.example"
LINK = f"https://{HOST}/cat.png?size=2"


def server() -> Faulty:
    return Faulty(tls=authority().server(HOST))


def names(where: Faulty, *lookups: list[str]) -> Names:
    return Names({HOST: lookups or [[PUBLIC]]}, where.port, authority().client())


async def refusal(through: Names, link: str = LINK, limit: int = 1000, seconds: float = 5.0) -> str:
    with pytest.raises(ProviderError) as caught:
        await Fetcher(through).fetch(link, limit=limit, timeout=seconds, param="messages[0].content")
    assert caught.value.kind is ErrorKind.INVALID_REQUEST
    assert caught.value.param == "messages[0].content"
    assert INSIDE not in caught.value.message
    return caught.value.message


@both_loops()
async def test_a_picture_is_fetched_from_the_address_that_was_judged() -> None:
    async with server() as web:
        web.next(send(answer(b"png", headers={"content-type": "image/png"})))
        through = names(web)
        got = await Fetcher(through).fetch(LINK, limit=3, timeout=5)
        assert got == ("image/png", b"png")
        assert (through.asked, through.dialled) == ([HOST], [PUBLIC])
        assert web.requests[0].line == "GET /cat.png?size=2 HTTP/1.1"
        assert web.requests[0].headers["host"] == HOST
        assert "authorization" not in web.requests[0].headers
        await web.all_closed()


@both_loops()
async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    async with server() as web:
        web.always(send(answer(b"png")))
        through = names(web, [PUBLIC], [INSIDE])
        await Fetcher(through).fetch(LINK, limit=10, timeout=5)
        assert (through.asked, through.dialled) == ([HOST], [PUBLIC])
        await refusal(through)
        assert through.dialled == [PUBLIC]


@both_loops()
async def test_one_bad_address_among_good_ones_is_enough() -> None:
    async with server() as web:
        for mixed in ([PUBLIC, INSIDE], [INSIDE, PUBLIC], [PUBLIC, "::1"], ["169.254.169.254"], []):
            through = names(web, mixed)
            assert "does not lead to the public internet" in await refusal(through)
            assert through.dialled == []


async def test_a_name_that_does_not_exist_sounds_like_one_that_leads_inside() -> None:
    through = Names({"inside.example": [[INSIDE]]})
    unknown = await refusal(through, "https://unknown.example/")
    assert unknown == await refusal(through, "https://inside.example/")


async def test_a_link_that_is_not_plain_is_refused_before_anything_is_asked() -> None:
    through = Names({})
    for link in ("http://pictures.example/", "https://127.0.0.1/", "https://a@b/", "file:///etc/passwd"):
        await refusal(through, link)
    assert through.asked == []


@both_loops()
async def test_redirects_are_not_followed() -> None:
    async with server() as web:
        web.next(send(answer(b"", "302 Found", {"location": "https://169.254.169.254/latest"})))
        assert "leads on to another link" in await refusal(names(web))
        assert len(web.requests) == 1


@both_loops()
async def test_too_much_too_slow_or_broken_is_refused_and_let_go() -> None:
    cases: list[tuple[tuple[Step, ...], str]] = [
        ((send(answer(b"x" * 1001)), until_left()), "larger than 1000 bytes"),
        ((send(chunked(*[b"x" * 100] * 20)), until_left()), "larger than 1000 bytes"),
        ((send(answer(b"no", "404 Not Found")), until_left()), "status 404"),
        ((send(answer(b"12345")[:-1]), close()), "broke off"),
        ((send(b"nonsense\r\n\r\n"), until_left()), "broke off"),
        ((close(),), "broke off"),
    ]
    async with server() as web:
        for steps, words in cases:
            web.next(*steps)
            assert words in await refusal(names(web))
            await web.all_closed()
        for slow in (until_left(), drip(answer(b"x" * 500), every=0.02)):
            web.next(slow)
            start = time.perf_counter()
            assert "longer than 0.3 seconds" in await refusal(names(web), seconds=0.3)
            assert time.perf_counter() - start < 3
            await web.all_closed()


@both_loops()
async def test_a_host_that_does_not_answer_is_refused() -> None:
    async with server() as web:
        through = names(web)
        through.dead = {PUBLIC}
        assert "did not answer" in await refusal(through)
        wrong = Names({"other.example": [[PUBLIC]]}, web.port, authority().client())
        assert "did not answer" in await refusal(
            wrong, "https://other.example/"
        )  # the certificate is not its own
        assert web.requests == []


@both_loops()
async def test_a_cancelled_fetch_lets_go() -> None:
    async with server() as web:
        web.next(until_left())
        task = asyncio.create_task(Fetcher(names(web)).fetch(LINK, limit=10, timeout=5))
        while not web.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await web.all_closed(1)


async def test_the_ready_made_fetch_reaches_nothing_inside() -> None:
    with pytest.raises(ProviderError, match="public internet"):
        await module.fetch("https://localhost/", limit=10, timeout=5)


async def test_networks_of_the_house_may_be_fetched_from() -> None:
    async with server() as web:
        through = names(web, [INSIDE])
        web.next(send(answer(b"ok")))
        got = await Fetcher(through).fetch(LINK, limit=10, timeout=5, allow_networks=("10.0.0.0/8",))
        assert got == ("", b"ok")
        assert through.dialled == [INSIDE]
