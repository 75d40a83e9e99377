"""Files and batches as OpenAI's client lives them."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.service import batch_work
from tests.api.batch_stage import jsonl, row, staged, text
from tests.running import routing


async def test_embeddings_go_through_the_same_door(tmp_path: Path):
    async with staged(tmp_path) as stage:
        asked = {"custom_id": "one", "method": "POST", "url": "/v1/embeddings"}
        done = await stage.ann.over(
            await stage.ann.begin(
                [{**asked, "body": {"model": "vectors", "input": "Hello"}}], endpoint="/v1/embeddings"
            )
        )
        [line] = (await stage.ann.lines(done.output_file_id)).values()
        assert line["response"]["body"]["data"][0]["embedding"]
        assert done.error_file_id is None


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], "empty_file"),
        ([row(str(number)) for number in range(4)], "too_many_requests"),
        (["x" * 3000], "line_too_long"),
    ],
)
async def test_a_file_of_the_wrong_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], code: str
):
    monkeypatch.setattr("gateway.service.batch_input.MAX_ROWS", 3)
    monkeypatch.setattr("gateway.service.batch_input.MAX_LINE", 2000)
    async with staged(tmp_path) as stage:
        failed = await stage.ann.over(await stage.ann.begin(rows))
        assert failed.errors is not None
        assert failed.errors.data is not None
        assert [error.code for error in failed.errors.data] == [code]


async def test_what_a_key_may_not_use_is_told_before_anything_is_begun(tmp_path: Path):
    async with staged(tmp_path, text(key={"models": ["vectors"]})) as stage:
        failed = await stage.ann.over(await stage.ann.begin([row("one")]))
        assert failed.errors is not None
        assert failed.errors.data is not None
        assert [(error.line, error.code) for error in failed.errors.data] == [(1, "model_not_allowed")]


async def test_a_batch_takes_no_more_at_a_time_than_its_key_may_have(tmp_path: Path):
    most = 3
    async with staged(
        tmp_path, text(key={"batch_concurrency": most, "limits": [{"concurrent": most}]})
    ) as stage:
        made = [await stage.ann.begin([row(f"{at}") for at in range(12)]) for _ in range(2)]
        for batch in made:
            done = await stage.ann.over(batch)
            assert (done.status, done.error_file_id) == ("completed", None)
        denied = b'gateway_admission_decisions_total{gateway_admission_result="denied"'
        assert denied not in stage.gateway.gateway.metrics.exposition()


async def test_what_the_keys_own_limit_refuses_waits_and_a_cancelled_batch_gives_what_it_has(tmp_path: Path):
    limits = [{"requests": 4, "per": "hour"}]
    async with staged(tmp_path, text(key={"batch_concurrency": 2, "limits": limits})) as stage:
        ann = stage.ann
        begun = await ann.begin([row(f"{at}") for at in range(9)])
        async with asyncio.timeout(20):
            while not await stage.rows("select 1 from batch_rows where tries > 0"):
                await asyncio.sleep(0.02)
        found = await ann.openai.batches.retrieve(begun.id)
        assert found.status == "in_progress"
        with pytest.raises(openai.ConflictError) as caught:
            await ann.openai.files.delete(begun.input_file_id)
        assert caught.value.code == "file_in_use"
        stopped = await ann.openai.batches.cancel(begun.id)
        assert stopped.cancelling_at is not None
        done = await ann.over(begun)
        assert (done.status, done.cancelled_at is not None) == ("cancelled", True)
        answered, rest = await ann.lines(done.output_file_id), await ann.lines(done.error_file_id)
        assert [*answered, *rest] == [f"{at}" for at in range(9)]
        assert len(answered) == 4
        assert {line["error"]["code"] for line in rest.values()} == {"batch_cancelled"}
        await ann.openai.files.delete(begun.input_file_id)
        assert (await ann.openai.batches.cancel(begun.id)).status == "cancelled"


async def test_what_is_not_done_in_time_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    limits = [{"requests": 1, "per": "hour"}]
    monkeypatch.setattr("gateway.service.batches.WINDOW_SECONDS", 0.4)
    async with staged(tmp_path, text(key={"limits": limits, "batch_concurrency": 1})) as stage:
        done = await stage.ann.over(await stage.ann.begin([row("a"), row("b"), row("c")]))
        assert (done.status, done.expired_at is not None) == ("expired", True)
        answered, rest = await stage.ann.lines(done.output_file_id), await stage.ann.lines(done.error_file_id)
        assert sorted([*answered, *rest]) == ["a", "b", "c"]
        assert {line["error"]["code"] for line in rest.values()} == {"batch_expired"}


async def test_what_no_provider_answers_is_asked_again_before_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.service.batch_work.FIRST_PAUSE", 0.01)
    async with staged(tmp_path) as stage:
        done = await stage.ann.over(await stage.ann.begin([row("a", model="demo/status-503")]))
        [line] = (await stage.ann.lines(done.error_file_id)).values()
        assert line["response"]["status_code"] == 503
        calls = stage.gateway.gateway.metrics.exposition().decode()
        route = 'http_route="/v1/chat/completions (batch)"'
        count = next(
            one
            for one in calls.splitlines()
            if route in one and one.startswith("http_server_request_duration_seconds_count")
        )
        assert float(count.split()[-1]) == 6


async def test_a_row_that_meets_a_bug_of_ours_ends_with_an_error_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("gateway.service.batch_work.FIRST_PAUSE", 0.01)
    honest, met = batch_work.read_line, list[bytes]()

    def buggy(data: bytes, endpoint: str) -> batch_work.Request:
        if b"unlucky" in data:
            met.append(data)
            raise ZeroDivisionError
        return honest(data, endpoint)

    monkeypatch.setattr(batch_work, "read_line", buggy)
    async with staged(tmp_path) as stage:
        done = await stage.ann.over(await stage.ann.begin([row("unlucky"), row("lucky")]))
        [line] = (await stage.ann.lines(done.error_file_id)).values()
        error = line["response"]["body"]["error"]
        assert (line["custom_id"], line["response"]["status_code"]) == ("unlucky", 500)
        assert (error["type"], error["code"]) == ("server_error", "internal_error")
        assert list(await stage.ann.lines(done.output_file_id)) == ["lucky"]
    assert len(met) == 6
    assert caplog.text.count("ZeroDivisionError") >= 6


async def test_a_row_whose_text_is_none_is_told_and_not_made_again(tmp_path: Path):
    clip = {"kind": "video", "targets": [{"provider": "a", "model": "m", "price": {"per_second": 0.1}}]}
    places = {"a": {"dialect": "openai", "kind": "video", "base_url": "http://127.0.0.1:9/v1"}}
    asked = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/videos",
        "body": {"model": "clip", "prompt": "?"},
    }
    async with staged(tmp_path, routing({"clip": clip}, places)) as stage:
        latin = jsonl([asked]).replace(b"?", b"\xfc")
        file = await stage.ann.openai.files.create(file=("rows.jsonl", latin), purpose="batch")
        batch = await stage.ann.openai.batches.create(
            input_file_id=file.id, endpoint="/v1/videos", completion_window="24h"
        )
        [told] = (await stage.ann.lines((await stage.ann.over(batch)).error_file_id)).values()
        assert told["response"]["status_code"] == 400
        assert told["response"]["body"]["error"]["code"] == "invalid_json"


async def test_rows_without_a_key_any_more_are_refused(tmp_path: Path):
    async with staged(tmp_path, text(key={"limits": [{"requests": 1, "per": "hour"}]})) as stage:
        begun = await stage.ann.begin([row("a"), row("b")])
        async with asyncio.timeout(20):
            while not await stage.rows("select 1 from batch_rows where tries > 0"):
                await asyncio.sleep(0.02)
        gone = text().replace("name: test", "name: renamed")
        stage.gateway.config.write_text(gone)
        gateway = stage.gateway.gateway
        async with asyncio.timeout(20):
            while gateway._ring.owner("test") is not None:
                await asyncio.sleep(0.02)
        async with gateway._database.write() as transaction:
            await transaction.exec_driver_sql("update batch_rows set due_at = 0 where due_at is not null")
        gateway._batch_runner.wake()
        async with asyncio.timeout(20):
            while not await stage.rows("select 1 from batches where status = 'completed' and failed = 1"):
                await asyncio.sleep(0.02)
        assert begun.id
