"""Posting to a stranger's URL: the guard of fetching, at every sending, and nothing kept of the answer."""

import asyncio
import time

import pytest

from gateway.transport.post import Poster, Receipt
from gateway.transport.ssrf import RefusedLink
from providers.types import HttpRequest
from tests.transport.certificates import authority
from tests.transport.faulty import Faulty, Step, answer, close, drip, reset, send, until_left
from tests.transport.loops import both_loops
from tests.transport.names import Names
from tests.transport.test_ssrf import VECTORS

PUBLIC, INSIDE = "93.184.215.14", "10.0.0.7"
HOST = "hooks.example"
LINK = f"https://{HOST}/in?token=1"
HOUSE = ("10.0.0.0/8",)


def server() -> Faulty:
    return Faulty(tls=authority().server(HOST))


def names(where: Faulty, *lookups: list[str]) -> Names:
    return Names({HOST: lookups or [[PUBLIC]]}, where.port, authority().client())


def message(url: str = LINK, body: bytes = b'{"id": "evt_1"}') -> HttpRequest:
    return HttpRequest(method="POST", url=url, headers={"content-type": "application/json"}, body=body)


async def refusal(through: Names, url: str = LINK, seconds: float = 5.0) -> str:
    with pytest.raises(RefusedLink) as caught:
        await Poster(through).send(message(url), seconds=seconds)
    assert INSIDE not in caught.value.reason
    assert "token" not in caught.value.reason
    return caught.value.reason


@both_loops()
async def test_a_message_arrives_whole_at_the_address_that_was_judged() -> None:
    async with server() as web:
        for size in (0, 15, 300_000):
            web.next(send(answer(b"thanks", "202 Accepted", {"retry-after": "7"})))
            through = names(web)
            taken = await Poster(through).send(message(body=b"x" * size), seconds=5)
            assert taken == Receipt(202, 7.0)
            seen = web.requests[-1]
            assert (seen.line, seen.headers["host"]) == ("POST /in?token=1 HTTP/1.1", HOST)
            assert (seen.body, seen.headers["content-length"]) == (b"x" * size, str(size))
            assert "authorization" not in seen.headers
            assert (through.asked, through.dialled) == ([HOST], [PUBLIC])
            await web.all_closed()


@pytest.mark.parametrize("url", [case for verdict, case in VECTORS if verdict == "refuse"])
async def test_what_must_not_be_fetched_is_not_posted_to_either(url: str) -> None:
    through = Names({})
    for ask in (
        Poster(through).check(url, seconds=5),
        Poster(through).send(message(url), seconds=5),
    ):
        with pytest.raises(RefusedLink):
            await ask
    assert through.dialled == []


@pytest.mark.parametrize("address", [case for verdict, case in VECTORS if verdict == "private"])
async def test_a_name_that_leads_inside_is_refused_like_one_that_leads_nowhere(address: str) -> None:
    through = Names({HOST: [[PUBLIC, address]]})
    assert await refusal(through) == await refusal(through, "https://unknown.example/")
    assert through.dialled == []


@both_loops()
async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    async with server() as web:
        through = names(web, [PUBLIC], [PUBLIC], [INSIDE])
        await Poster(through).check(LINK, seconds=5)
        await Poster(through).send(message(), seconds=5)
        await refusal(through)
        assert through.dialled == [PUBLIC]


@both_loops()
async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    async with server() as web:
        web.next(send(answer(b"", "307 Temporary Redirect", {"location": "https://169.254.169.254/"})))
        taken = await Poster(names(web)).send(message(), seconds=5)
        assert (taken.status, len(web.requests)) == (307, 1)


@both_loops()
async def test_what_breaks_or_takes_too_long_is_let_go() -> None:
    cases: list[tuple[tuple[Step, ...], str]] = [
        ((close(),), "broke off"),
        ((reset(),), "broke off"),
        ((send(b"nonsense\r\n\r\n"), until_left()), "broke off"),
        ((until_left(),), "longer than 0.3 seconds"),
        ((drip(answer(b""), every=0.1),), "longer than 0.3 seconds"),
    ]
    async with server() as web:
        for steps, words in cases:
            web.next(*steps)
            start = time.perf_counter()
            assert words in await refusal(names(web), seconds=0.3)
            assert time.perf_counter() - start < 3
            await web.all_closed()
        through = names(web)
        through.dead = {PUBLIC}
        assert "did not answer" in await refusal(through)
        through = names(web)
        through.mute = {PUBLIC}
        assert "longer than 0.3 seconds" in await refusal(through, seconds=0.3)


async def test_an_endless_answer_is_not_read() -> None:
    async with server() as web:
        web.next(send(answer(b"x" * 10**6)), until_left())
        assert (await Poster(names(web)).send(message(), seconds=5)).status == 200
        await web.all_closed()


async def test_only_the_house_may_be_reached_plainly_or_at_an_odd_port() -> None:
    async with Faulty() as web:
        through = Names(
            {HOST: [[PUBLIC]], "house.example": [[INSIDE]], "both.example": [[INSIDE, PUBLIC]]}, web.port
        )
        poster = Poster(through)
        await poster.send(message("http://house.example:9000/"), seconds=5, allow_networks=HOUSE)
        assert through.dialled == [INSIDE]
        for url in (
            f"http://{HOST}/",
            f"https://{HOST}:9000/",
            "http://both.example/",
            "http://127.0.0.1/",
            f"http://{HOST}:0/",
        ):
            with pytest.raises(RefusedLink):
                await poster.send(message(url), seconds=5, allow_networks=HOUSE)
        with pytest.raises(RefusedLink):
            await poster.send(message("https://house.example/"), seconds=5)
        assert through.dialled == [INSIDE]


async def test_a_cancelled_sending_lets_go() -> None:
    async with server() as web:
        web.next(until_left())
        task = asyncio.create_task(Poster(names(web)).send(message(), seconds=5))
        while not web.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await web.all_closed(1)
