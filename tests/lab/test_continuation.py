"""A stream that broke and was gone on with elsewhere: one answer for the caller, all its parts for the books."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.lab.callers import QUESTION, Heard
from tests.lab.history import check, history
from tests.lab.speech import ANSWER, FAILURES, SPEECHES, TOKENS
from tests.lab.stage import Case, Lab, laboratory
from tests.lab.test_unreadable import SCHEMA, TOOL
from tests.lab.upstream import Act
from tests.running import KEY
from tests.system.process import metric, until_async
from tests.system.test_limits import clear_of_midnight
from tests.transport.faulty import close, send
from tests.upstreams import cut, streamed

CUT = Act(tokens=20, then="close")
CONTINUED = {"on_cut": "continue"}
ONE = [("openai", "anthropic")]
STREAMS: dict[str, Any] = {"route": CONTINUED, "streams": (True,)}


async def only(lab: Lab, **more: Any) -> tuple[Case, Heard]:
    """Ask the only route."""
    ((case, heard),) = await lab.ask_all(**more)
    return case, heard


async def test_the_parts_are_one_answer_and_each_is_booked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with laboratory(tmp_path, **STREAMS, pairs=ONE) as lab:
        lab.primaries_play(CUT)
        case, heard = await only(lab)
        assert (heard.text, heard.model) == (ANSWER, case.primary.model)
        assert heard.facts["continued"][0]["at"] == len("".join(TOKENS[:20]))
        seen = await history(lab)
        check(seen, calls_per_request=2)
        assert {row.kind: row.target.rpartition("-")[2] for row in seen.rows} == {
            "chat": "primary",
            "chat.2": "fallback",
        }
        assert heard.usage is not None
        assert heard.usage["prompt_tokens"] == sum(row.input_tokens for row in seen.rows)
        assert heard.usage["completion_tokens"] == sum(row.output_tokens for row in seen.rows) == len(TOKENS)
        exposition = lab.gateway.gateway.metrics.exposition().decode()
        kinds = {"gateway_attempt_kind": "continuation", "error_type": ""}
        assert metric(exposition, "gateway_attempts_total", **kinds) == 1
        assert metric(exposition, "gateway_failovers_total", reason="unavailable") == 1
        assert metric(exposition, "gateway_stream_truncations_total") == 0
    line = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    assert line["output_tokens"] == len(TOKENS)
    assert line["cost_usd"] == pytest.approx(sum(row.nano_dollars or 0 for row in seen.rows) / 1e9)
    assert 0 < line["first_token_ms"] < line["duration_ms"] - line["upstream_ms"]
    assert "error" not in line


@pytest.mark.parametrize("prefill", [True, False])
async def test_a_space_at_the_joint_is_said_once(tmp_path: Path, *, prefill: bool) -> None:
    async with laboratory(tmp_path, **STREAMS, fallback={"prefill": prefill}) as lab:
        for case in lab:
            speech = SPEECHES[case.primary.dialect]()
            begun = [*speech.begin("m", 20), speech.token("one "), speech.token("word-2 ")]
            case.primary.next(send(cut(*begun)), close())
        for case, heard in await lab.ask_all():
            assert heard.text == ANSWER, case.name


async def test_a_part_may_break_too(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, targets=3) as lab:
        for case in lab:
            case.primary.plays(CUT)
            case.fallback.plays(CUT)
        for case, heard in await lab.ask_all():
            assert heard.text == ANSWER, case.name
            joints = heard.facts["continued"]
            assert [joint["at"] for joint in joints] == [len("".join(TOKENS[:said])) for said in (20, 40)]
        check(await history(lab), calls_per_request=3)


async def test_what_was_never_passed_on_is_not_handed_on(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, targets=3) as lab:
        for case in lab:
            speech = SPEECHES[case.primary.dialect]()
            said = [*speech.begin("m", 20), speech.token("Nonsense "), speech.error_event(FAILURES["busy"])]
            case.primary.next(send(streamed(b"".join(said))))
            case.fallback.plays(CUT)
        for case, heard in await lab.ask_all():
            assert heard.text == ANSWER, case.name
            assert heard.model == case.fallback.model
            assert "Nonsense" not in str(case.spare.served[0].messages)


@pytest.mark.parametrize("refusal", [Act(error="busy"), Act(prefill=False), Act(size=0, then="reset")])
async def test_who_cannot_go_on_leaves_it_to_the_next(tmp_path: Path, refusal: Act) -> None:
    async with laboratory(tmp_path, **STREAMS, fallback={"prefill": True}, targets=3) as lab:
        for case in lab:
            case.primary.plays(CUT)
            case.fallback.plays(refusal)
        for case, heard in await lab.ask_all():
            assert heard.text == ANSWER, case.name
            (joint,) = heard.facts["continued"]
            assert joint["to"].endswith("up-spare")
        check(await history(lab), calls_per_request=3)


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_continuation_is_an_attempt_like_any_other(tmp_path: Path, attempts: int) -> None:
    bounded = {**CONTINUED, "retries": {"attempts": attempts}}
    async with laboratory(tmp_path, route=bounded, streams=(True,), targets=3) as lab:
        for case in lab:
            case.primary.plays(CUT)
            case.fallback.plays(CUT)
        for case, heard in await lab.ask_all():
            assert heard.text == "".join(TOKENS[: 20 * attempts]), case.name
            assert heard.error is not None
            assert heard.error["code"] == "upstream_unavailable"
        check(await history(lab), calls_per_request=attempts)


async def test_the_only_target_goes_on_with_its_own_answer(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, targets=1) as lab:
        lab.primaries_play(CUT, Act())
        for case, heard in await lab.ask_all():
            assert heard.text == ANSWER, case.name
        check(await history(lab), calls_per_request=2)


@pytest.mark.parametrize(
    "more",
    [{"tools": [TOOL]}, {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}, {"n": 2}],
    ids=["tools", "json", "choices"],
)
async def test_only_prose_is_continued(tmp_path: Path, more: dict[str, Any]) -> None:
    async with laboratory(tmp_path, **STREAMS, pairs=[("openai", "openai")]) as lab:
        lab.primaries_play(CUT)
        _, heard = await only(lab, **more)
        assert heard.text == "".join(TOKENS[:20])
        assert heard.error is not None
        assert not heard.done


async def test_plain_words_for_the_same_are_prose(tmp_path: Path) -> None:
    plain = {"tools": [], "response_format": {"type": "text"}, "n": 1, "modalities": ["text"]}
    async with laboratory(tmp_path, **STREAMS, pairs=[("openai", "openai")]) as lab:
        lab.primaries_play(CUT)
        _, heard = await only(lab, **plain)
        assert heard.text == ANSWER


async def test_a_cap_on_the_answer_holds_over_all_parts(tmp_path: Path) -> None:
    caps = {"openai": "max_tokens", "anthropic": "max_tokens", "gemini": "maxOutputTokens"}
    async with laboratory(tmp_path, **STREAMS) as lab:
        lab.primaries_play(CUT)
        for case, heard in await lab.ask_all(max_tokens=100):
            assert heard.text == ANSWER
            asked = case.fallback.asked
            assert asked.get("generationConfig", asked)[caps[case.fallback.dialect]] == 80, case.name


async def test_a_prefill_is_not_given_to_a_model_that_thinks_first(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, fallback={"prefill": True}) as lab:
        lab.primaries_play(CUT)
        for case, heard in await lab.ask_all(reasoning_effort="low"):
            assert heard.facts["continued"][0]["way"] == "instruction", case.name
            assert heard.text == ANSWER


def delta(**fields: str) -> bytes:
    """A chunk in OpenAI's dialect."""
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return b"data: %b\n\n" % json.dumps({**frame, "choices": [choice]}).encode()


async def test_who_had_only_thought_is_followed_by_the_whole_answer(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, pairs=ONE) as lab:
        begun = cut(delta(role="assistant", content=""), delta(reasoning_content="Sixty words? Hm."))
        lab.cases[0].primary.next(send(begun), close())
        case, heard = await only(lab)
        assert heard.text == ANSWER
        assert heard.facts["continued"][0]["way"] == "restart"
        assert [role for role, _ in case.fallback.served[0].messages] == ["user"]


async def test_nobody_goes_on_behind_a_refusal(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, pairs=ONE) as lab:
        begun = cut(delta(role="assistant", content=""), delta(refusal="I will not"))
        lab.cases[0].primary.next(send(begun), close())
        case, heard = await only(lab)
        assert heard.error is not None
        assert not case.fallback.served


async def test_sixty_four_streams_that_break_at_once_are_all_continued(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, pairs=ONE) as lab:
        lab.primaries_play(Act(tokens=20, every=0.005, then="close"))
        answers: Sequence[tuple[Case, Heard]] = await lab.ask_all(times=64)
        assert {heard.text for _, heard in answers} == {ANSWER}
        check(await history(lab), calls_per_request=2)


async def test_a_client_that_leaves_in_between_closes_what_was_begun(tmp_path: Path) -> None:
    async with laboratory(tmp_path, **STREAMS, pairs=ONE) as lab:
        lab.primaries_play(CUT)
        lab.fallbacks_play(Act(headers_after=20))
        (case,) = lab.cases
        url, headers = f"{lab.gateway.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
        async with httpx2.AsyncClient(headers=headers) as http:
            body = {"model": case.name, **QUESTION, "stream": True}
            async with http.stream("POST", url, json=body):
                await until_async(lambda: case.fallback.served)
        board = lab.gateway.gateway._board
        async with asyncio.timeout(1.0):
            await until_async(lambda: not any(seen.in_flight for seen in board.known.values()))
        (row,) = (await history(lab)).rows
        assert row.target.endswith("up-primary")


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_wherever_a_stream_is_cut_the_answer_is_whole(tmp_path: Path, then: str) -> None:
    patient = {**CONTINUED, "health": {"failures": 1000}}
    circle = [("openai", "anthropic"), ("anthropic", "gemini"), ("gemini", "openai")]
    async with laboratory(tmp_path, route=patient, streams=(True,), pairs=circle) as lab:
        for size in range(0, 16_000, 431):
            lab.primaries_play(Act(size=size, then=then))  # type: ignore[arg-type]
            for case, heard in await lab.ask_all():
                assert heard.text == ANSWER, (case.name, size)
                assert heard.done
        check(await history(lab), calls_per_request=2)


DEAR = {"price": {"input": 0, "output": 4000}}
"""A token costs $0.004; the first target's costs a quarter of that."""


@pytest.mark.parametrize(("room", "goes_on"), [(1.0, True), (0.3, False)])
async def test_going_on_at_a_dearer_target_reserves_the_difference_or_is_left(
    tmp_path: Path, room: float, *, goes_on: bool
) -> None:
    await clear_of_midnight()
    cheap = {"price": {"input": 0, "output": 1000}}
    key = {"limits": [{"dollars": room, "per": "day"}]}
    async with laboratory(tmp_path, **STREAMS, pairs=ONE, primary=cheap, fallback=DEAR, key=key) as lab:
        lab.primaries_play(CUT)
        case, heard = await only(lab, max_tokens=100)
        assert heard.done is goes_on
        assert len(case.fallback.served) == int(goes_on)
        booked = sum(row.nano_dollars or 0 for row in (await history(lab)).rows)
        assert booked == (180_000_000 if goes_on else 20_000_000)
        _, next_one = await only(lab, max_tokens=10)
        left = int(next_one.headers["ratelimit"].split('"dollars-day";r=')[1].split(";")[0])
        assert left == round(room * 1e6) - booked // 1000 - 10_000, "all else that was held is free again"


async def test_the_quota_of_each_target_is_charged_with_its_own_part(tmp_path: Path) -> None:
    quota = {"limits": [{"tokens": 5000, "per": "day"}, {"requests": 2, "per": "day"}, {"concurrent": 1}]}
    async with laboratory(tmp_path, **STREAMS, pairs=ONE, primary=quota, fallback=quota) as lab:
        for attempt in range(2):
            lab.primaries_play(CUT)
            case, heard = await only(lab, max_tokens=1000)
            assert heard.text == ANSWER, attempt
        assert len(case.primary.served) == len(case.fallback.served) == 2
        case, heard = await only(lab, max_tokens=1000)
        assert heard.status == 429
