"""The sixteen failover scenarios, on every pair of dialects at once, streamed and not.

Providers misbehave for as long as the catalogue says (20 s to the first token, 120 s without an answer); what
is shorter here are the gateway's own clocks, and a test is done when they have rung. So the catalogue's
bounds on the time hold as they are. S15 is the exception: its clock runs twenty times as fast.
"""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.routing.health import Health
from providers.errors import ErrorKind
from tests.lab.callers import Heard
from tests.lab.history import check, history
from tests.lab.speech import ANSWER, FAILURES, TOKENS
from tests.lab.stage import Case, Lab, laboratory
from tests.lab.upstream import HTML, Act
from tests.upstreams import DIALECTS

IMPATIENT = {"timeout": {"headers": "300ms", "first_token": "300ms", "silence": "300ms", "total": "300ms"}}
"""Clocks of a primary whose silence is soon noticed; `total` is what bounds its answers that are not streamed."""
CONTINUED = {"on_cut": "continue"}
STREAMED: Sequence[bool] = (True,)


def whole(heard: Heard) -> bool:
    """The complete answer, and nothing else."""
    return heard.status == 200 and heard.done and heard.text == ANSWER and heard.finish == "stop"


async def everybody_is_answered(lab: Lab, times: int = 1) -> Sequence[tuple[Case, Heard]]:
    """Ask every route; each caller must get the whole answer, with its usage."""
    answers = await lab.ask_all(times)
    for case, heard in answers:
        assert whole(heard), (case.name, heard)
        assert heard.usage is not None, case.name
    return answers


async def test_s01_a_429_with_a_retry_after_is_obeyed(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="rate", retry_after=60), Act())  # 2 s would pass on a busy machine
        for case, heard in [*await everybody_is_answered(lab), *await everybody_is_answered(lab)]:
            assert heard.target.endswith("fallback"), case.name
        assert all(len(case.primary.served) == 1 for case in lab), "not asked again before its time"
        check(await history(lab), calls_per_request=1.5)


async def test_s01_who_asked_for_a_short_wait_is_asked_again_after_it(tmp_path: Path) -> None:
    """On a route of one target; here every fallback by itself."""
    async with laboratory(tmp_path) as lab:
        lab.fallbacks_play(Act(error="rate", retry_after=0.3), Act())
        asking = (lab.callers.ask(f"{case.name}.fallback/up-fallback", stream=case.stream) for case in lab)
        assert all(map(whole, await asyncio.gather(*asking)))
        for case in lab:
            first, second = case.fallback.served
            assert second.at - first.at >= 0.27, case.name


async def test_s02_429_from_the_primary_always(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="rate"))
        for case, heard in await everybody_is_answered(lab):
            assert heard.attempts == 2
            assert len(case.primary.served) == 1
        check(await history(lab), calls_per_request=2)


async def test_s03_a_lone_500_is_asked_again_where_it_happened(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="boom"), Act())
        for case, heard in await everybody_is_answered(lab):
            assert heard.target.endswith("primary"), case.name
            assert len(case.primary.served) == 2
            assert not case.fallback.served
        check(await history(lab), calls_per_request=2)


async def test_s04_503_from_the_primary_always(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="busy"))
        for _ in range(10):
            for _case, heard in await everybody_is_answered(lab):
                assert heard.target.endswith("fallback")
        assert all(len(case.primary.served) <= 6 for case in lab)
        check(await history(lab), calls_per_request=1.6)


async def test_s05_a_reset_before_any_byte(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(size=0, then="reset"), Act())
        await everybody_is_answered(lab)
        check(await history(lab), calls_per_request=2)


async def test_s06_a_primary_that_never_answers(tmp_path: Path) -> None:
    async with laboratory(tmp_path, primary=IMPATIENT) as lab:
        lab.primaries_play(Act(headers_after=120))
        for case, heard in await everybody_is_answered(lab):
            assert heard.took < 100, case.name
            assert len(case.primary.served) == 1, "a silent route is asked once"
        check(await history(lab), calls_per_request=2)


async def test_s07_headers_at_once_and_the_first_token_after_20_seconds(tmp_path: Path) -> None:
    limit = {"timeout": {"first_token": "300ms"}}
    async with laboratory(tmp_path, primary=limit, streams=STREAMED) as lab:
        lab.primaries_play(Act(first_after=20))
        for case, heard in await everybody_is_answered(lab):
            assert heard.took < 15, case.name
            assert heard.target.endswith("fallback")
        check(await history(lab), calls_per_request=2)


@pytest.mark.parametrize("then", ["close", "reset", "end", "error"])
async def test_s08_a_stream_that_dies_after_40_tokens_is_continued(tmp_path: Path, then: str) -> None:
    async with laboratory(tmp_path, route=CONTINUED, streams=STREAMED) as lab:
        lab.primaries_play(Act(tokens=40, then=then, error="busy" if then == "error" else ""))  # type: ignore[arg-type]
        for case, heard in await everybody_is_answered(lab):
            if then == "error" and heard.target.endswith("fallback"):
                continue  # all of it came at once, and nothing had been passed on
            (joint,) = heard.facts["continued"]
            assert joint["from"].endswith("up-primary"), case.name
            assert joint["to"].endswith("up-fallback"), case.name
        check(await history(lab), calls_per_request=2)


async def test_s08_by_default_it_ends_with_a_typed_error(tmp_path: Path) -> None:
    async with laboratory(tmp_path, streams=STREAMED) as lab:
        lab.primaries_play(Act(tokens=40, then="close"))
        for case, heard in await lab.ask_all():
            assert heard.error is not None, case.name
            assert heard.error["code"] == "upstream_unavailable"
            assert heard.text == "".join(TOKENS[:40])
        check(await history(lab), calls_per_request=1)


async def test_s08_an_answer_that_is_not_streamed_is_made_anew(tmp_path: Path) -> None:
    async with laboratory(tmp_path, streams=(False,)) as lab:
        lab.primaries_play(Act(size=300, then="close"))
        await everybody_is_answered(lab)
        lab.primaries_play(Act(length=50, then="close"))
        await everybody_is_answered(lab)
        check(await history(lab), calls_per_request=2)


async def test_s09_a_stream_that_falls_silent_after_20_tokens(tmp_path: Path) -> None:
    async with laboratory(tmp_path, route=CONTINUED, primary=IMPATIENT) as lab:
        lab.primaries_play(Act(tokens=20, then="stall", headers_after=0), Act())
        for case in lab:
            if not case.stream:
                case.primary.plays(Act(size=200, then="stall"), Act())
        for case, heard in await everybody_is_answered(lab):
            assert heard.took < 45, case.name
            assert not case.stream or heard.facts["continued"][0]["reason"] == "timeout"
        for _case, heard in await everybody_is_answered(lab):
            assert heard.target.endswith("primary"), "a healthy call right after"
        check(await history(lab), calls_per_request=1.5)


async def test_s10_the_tenth_event_is_no_json(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        for case in lab:
            case.primary.plays(Act(junk_at=[9]) if case.stream else Act(body=b'{"id": "x", "choi'), Act())
        for case, heard in await everybody_is_answered(lab):
            assert heard.facts == ({"unreadable_events": 1} if case.stream else {}), case.name
            assert heard.target.endswith("primary" if case.stream else "fallback")
        for case, heard in await everybody_is_answered(lab):
            assert heard.target.endswith("primary"), case.name
        check(await history(lab), calls_per_request=1.5)


@pytest.mark.parametrize("then", ["end", "stall"])
async def test_s11_a_complete_stream_without_its_end_mark(tmp_path: Path, then: str) -> None:
    marked = ("openai", "anthropic")  # Gemini has no mark but the end of the stream
    pairs = [(first, "openai") for first in (marked if then == "stall" else (*marked, "gemini"))]
    async with laboratory(tmp_path, primary=IMPATIENT, streams=STREAMED, pairs=pairs) as lab:
        lab.primaries_play(Act(marked=False, then=then))  # type: ignore[arg-type]
        for case, heard in await everybody_is_answered(lab):
            assert heard.took < 8, case.name
            assert heard.target.endswith("primary")
        check(await history(lab), calls_per_request=1)


async def test_s12_a_conversation_that_is_too_long_goes_to_a_larger_window(tmp_path: Path) -> None:
    windows = {"primary": {"context_window": 8_000}, "fallback": {"context_window": 100_000}}
    async with laboratory(tmp_path, **windows) as lab:  # type: ignore[arg-type]
        lab.primaries_play(Act(error="context"))
        for case, heard in await everybody_is_answered(lab):
            assert heard.target.endswith("fallback")
            assert len(case.primary.served) == 1, case.name
        check(await history(lab), calls_per_request=2)


async def test_s12_without_one_the_caller_is_told(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="context"))
        for case, heard in await lab.ask_all():
            assert heard.status == 400
            assert heard.error is not None
            assert heard.error["code"] == "context_length_exceeded", case.name
            assert len(case.primary.served) == 1
            assert not case.fallback.served
        check(await history(lab), calls_per_request=1)


async def test_s13_the_providers_reason_reaches_the_caller(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="policy"))
        for case, heard in await lab.ask_all():
            assert heard.status == 400
            assert heard.error is not None
            assert heard.error["code"] == "content_policy_violation", case.name
            assert FAILURES["policy"].message in heard.error["message"]
            assert len(case.primary.served) == 1
            assert not case.fallback.served
        check(await history(lab), calls_per_request=1)


@pytest.mark.parametrize("prefill", [True, False])
async def test_s14_the_way_of_going_on_is_the_one_that_the_target_takes(
    tmp_path: Path, *, prefill: bool
) -> None:
    capable = {"prefill": prefill}
    async with laboratory(tmp_path, route=CONTINUED, fallback=capable, streams=STREAMED) as lab:
        lab.primaries_play(Act(tokens=40, then="close"))
        lab.fallbacks_play(Act(prefill=prefill))
        for case, heard in await everybody_is_answered(lab):
            (joint,) = heard.facts["continued"]
            assert joint["way"] == ("prefill" if prefill else "instruction"), case.name
            assert case.fallback.served[0].messages[-1][0] == ("assistant" if prefill else "user")
        check(await history(lab), calls_per_request=2)


async def test_s14_a_refused_prefill_is_never_seen(tmp_path: Path) -> None:
    wrong = {"prefill": True}  # the operator says so, and the provider disagrees
    async with laboratory(tmp_path, route=CONTINUED, fallback=wrong, streams=STREAMED) as lab:
        lab.primaries_play(Act(tokens=40, then="close"))
        lab.fallbacks_play(Act(prefill=False))
        for case, heard in await lab.ask_all():
            assert heard.error is not None
            assert heard.error["code"] == "upstream_unavailable", case.name
            assert "prefill" not in heard.error["message"]
            assert not heard.done
        check(await history(lab), calls_per_request=2)


async def test_s15_an_outage_of_a_minute(tmp_path: Path) -> None:
    """One second of the catalogue is 50 ms: a call every 200 ms, 3 s of outage, 1.5 s to come back.

    The breaker's own clock runs as fast: the first rest is 250 ms for the 5 s that are shipped.
    """
    second = 0.05
    rest = 5 * second
    circle = [("openai", "anthropic"), ("anthropic", "gemini"), ("gemini", "openai")]
    fast = {"health": {"failures": 5, "rest": rest}}
    async with laboratory(tmp_path, route=fast, pairs=circle) as lab:
        lab.primaries_play(Act(error="busy"))
        clock = asyncio.get_running_loop().time
        began = clock()
        told: list[Sequence[str]] = []
        for number in range(23):  # twenty, and what is missing of the 30 s to come back
            if number == 15:
                outage = [[one.at for one in case.primary.served] for case in lab]
                lab.primaries_play(Act())
            told.append([heard.target for _, heard in await everybody_is_answered(lab)])
            await asyncio.sleep(max(0.0, began + (number + 1) * 4 * second - clock()))
        for at, case in enumerate(lab):
            who = [targets[at].rpartition(".")[2] for targets in told]
            assert set(who[:15]) == {"fallback"}, case.name
            assert set(who[who.index("primary") :]) == {"primary"}, "it comes back, and it stays"
            pauses = [after - before for before, after in pairwise(outage[at][4:])]
            assert all(pause > rest / 2 for pause in pauses), "probes are few"
        check(await history(lab), calls_per_request=2)


async def test_s16_the_caller_sees_who_answered_and_pays_only_for_that(tmp_path: Path) -> None:
    async with laboratory(tmp_path) as lab:
        lab.primaries_play(Act(error="busy"))
        for case, heard in await everybody_is_answered(lab):
            assert heard.model == case.fallback.model, case.name
            assert len(case.primary.served) == 1
        seen = await history(lab)
        assert {row.target.rpartition("/")[2] for row in seen.rows} == {"up-fallback"}
        assert len(seen.rows) == len(lab.cases)
        check(seen, calls_per_request=2)


FAULTS: Sequence[Act] = (
    Act(error="rate", retry_after=1), Act(error="boom"), Act(error="busy"), Act(size=0, then="reset"),
    Act(headers_after=120), Act(first_after=20), Act(tokens=40, then="close"), Act(tokens=20, then="stall"),
    Act(junk_at=[9]), Act(marked=False), Act(body=HTML), Act(body=b""), Act(every=0.001), Act(size=120, then="close"),
)  # fmt: skip


async def test_sixty_four_at_once_each_with_another_fault(tmp_path: Path) -> None:
    async with laboratory(tmp_path, route=CONTINUED, primary=IMPATIENT) as lab:
        for at, case in enumerate(lab):
            case.primary.plays(*[FAULTS[(at + more) % len(FAULTS)] for more in range(4)], Act())
        await everybody_is_answered(lab, times=4)
        check(await history(lab), calls_per_request=3)


async def test_an_answer_that_drips_byte_by_byte_is_an_answer(tmp_path: Path) -> None:
    """Beyond the catalogue."""
    async with laboratory(tmp_path, pairs=[(dialect, "openai") for dialect in DIALECTS]) as lab:
        lab.primaries_play(Act(drip=1e-6))
        for case, heard in await everybody_is_answered(lab):
            assert heard.target.endswith("primary"), case.name
        check(await history(lab), calls_per_request=1)


async def test_a_provider_that_hung_is_back_by_a_probe_that_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Its clocks are those of a patient route: it is the probe that is in a hurry."""
    async with laboratory(tmp_path) as lab:
        board = lab.gateway.gateway._board

        async def probe(name: str) -> None:
            now = board.clock.monotonic()
            rest = Health(
                shut=ErrorKind.TIMEOUT, openings=1, shut_at=now, shut_until=now, patient_at=now + 300.0
            )
            ids = [
                one.id
                for route in lab.gateway.gateway.live.current.routes.values()
                for one in route.targets
                if one.id.endswith("up-primary")
            ]
            board.known |= dict.fromkeys(ids, rest)
            for case, heard in await everybody_is_answered(lab):
                assert heard.target.endswith(name), case.name
                assert heard.took < 15, case.name

        lab.primaries_play(Act(headers_after=100.0))
        await probe("fallback")
        assert all(len(case.primary.served) == 1 for case in lab)
        lab.primaries_play(Act())
        await probe("primary")
        assert all(
            board.is_well(one)
            for route in lab.gateway.gateway.live.current.routes.values()
            for one in route.targets
        )
