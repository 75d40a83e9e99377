"""An event of a stream that is no JSON: passed over where that is the smaller harm, and told."""

from pathlib import Path
from typing import Any

import pytest

from tests.lab.history import every_request_ended, history
from tests.lab.speech import ANSWER, TOKENS
from tests.lab.stage import laboratory
from tests.lab.upstream import Act

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SCHEMA = {"name": "words", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
STREAMED = (True,)


async def test_a_word_that_was_lost_with_it_is_told(tmp_path: Path) -> None:
    async with laboratory(tmp_path, streams=STREAMED) as lab:
        lab.primaries_play(Act(junk_at=[20, 30], junk_instead=True))
        for case, heard in await lab.ask_all():
            kept = [token for at, token in enumerate(TOKENS) if at not in (20, 30)]
            assert heard.text == "".join(kept), case.name
            assert heard.done
            assert heard.facts == {"unreadable_events": 2}


async def test_more_than_two_are_no_accident(tmp_path: Path) -> None:
    async with laboratory(tmp_path, streams=STREAMED) as lab:
        lab.primaries_play(Act(junk_at=[20, 30, 40], every=0.001))
        for case, heard in await lab.ask_all():
            if heard.done:  # all of it came at once, and nothing had been passed on
                assert heard.target.endswith("fallback"), case.name
            else:
                assert heard.error is not None
                assert heard.error["code"] == "bad_upstream_response", case.name
        every_request_ended(await history(lab))


async def test_before_the_first_content_another_target_answers(tmp_path: Path) -> None:
    async with laboratory(tmp_path, streams=STREAMED) as lab:
        lab.primaries_play(Act(junk_at=[0]))
        for case, heard in await lab.ask_all():
            assert heard.text == ANSWER, case.name
            assert heard.target.endswith("fallback")
            assert not heard.facts


@pytest.mark.parametrize(
    "more",
    [{"tools": [TOOL]}, {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}],
    ids=["tools", "json"],
)
async def test_what_a_program_would_act_on_gets_no_hole(tmp_path: Path, more: dict[str, Any]) -> None:
    async with laboratory(tmp_path, streams=STREAMED) as lab:
        lab.primaries_play(Act(junk_at=[20], every=0.001))
        for case, heard in await lab.ask_all(**more):
            assert heard.done is heard.target.endswith("fallback"), case.name
            assert not heard.facts
        every_request_ended(await history(lab))


async def test_bytes_that_are_no_text_are_no_json_either(tmp_path: Path) -> None:
    async with laboratory(tmp_path, streams=STREAMED) as lab:
        lab.primaries_play(Act(junk_at=[9], junk=b'data: {"modelVersion": "\xff"}\n\n'))
        for case, heard in await lab.ask_all():
            assert (heard.text, heard.facts) == (ANSWER, {"unreadable_events": 1}), case.name
