"""Chat through the whole gateway, on real sockets, with the official OpenAI client in front."""

import asyncio
import json
from pathlib import Path

import httpx2
import openai
import pytest

from tests.answers import DONE, EVENTS, JSON, WHOLE, completion, event, first_part, stream
from tests.running import KEY, PROVIDER_KEY, routing, running, upstream
from tests.transport.faulty import Faulty, answer, close, reset, send, until_left, wait

ASK = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}


def route(*names: str, **more) -> dict:
    targets = [{"provider": name, "model": "up-1", "price": {"input": 1, "output": 2}} for name in names]
    return {"fast": {"policy": "in_order", "targets": targets, **more}}


def client(url: str, **more) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, **{"max_retries": 0, **more})


def chunk_of(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_chat_answer_and_what_is_told_with_it(tmp_path: Path):
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(send(completion()))
        async with client(gateway.url) as ai:
            raw = await ai.chat.completions.with_raw_response.create(
                **ASK, extra_body={"brand_new_field": [1, {"x": None}]}
            )
        assert raw.parse().choices[0].message.content == "Hi there!"
        assert raw.headers["x-fairlead-target"] == "a/up-1"
        assert raw.headers["x-fairlead-attempts"] == "1"
        assert float(raw.headers["x-fairlead-cost-usd"]) == pytest.approx((9 * 1 + 3 * 2) / 1e6)
        assert raw.headers["x-request-id"].startswith("req_")
        sent = json.loads(up.requests[0].body)
        assert sent["model"] == "up-1"
        assert sent["brand_new_field"] == [1, {"x": None}]
        assert up.requests[0].headers["authorization"] == f"Bearer {PROVIDER_KEY}"


async def test_a_stream_hides_the_usage_nobody_asked_for_and_ends_with_done(tmp_path: Path):
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(send(stream()))
        async with httpx2.AsyncClient() as http:
            got = await http.post(
                f"{gateway.url}/v1/chat/completions",
                json={**ASK, "stream": True},
                headers={"authorization": f"Bearer {KEY}"},
            )
        assert got.headers["content-type"].startswith("text/event-stream")
        events = got.text.strip().split("\n\n")
        assert events[-1] == "data: [DONE]"
        assert len(events) == 5
        assert "prompt_tokens" not in got.text
        assert json.loads(up.requests[0].body)["stream_options"] == {"include_usage": True}


async def test_the_sdk_streams_and_gets_usage_when_it_asks(tmp_path: Path):
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(send(stream()))
        async with client(gateway.url) as ai:
            chunks = [
                chunk
                async for chunk in await ai.chat.completions.create(
                    **ASK, stream=True, stream_options={"include_usage": True}
                )
            ]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "One two"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 12


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        [send(answer(b'{"error": {"message": "boom"}}', "503 Service Unavailable", JSON))],
        [send(answer(b"<html>bad gateway</html>", "502 Bad Gateway", {"content-type": "text/html"}))],
        [
            send(
                answer(
                    b'{"error": {"message": "slow down"}}',
                    "429 Too Many Requests",
                    {**JSON, "retry-after": "5"},
                )
            )
        ],
        [send(answer(b'{"error": {"message": "bad key"}}', "401 Unauthorized", JSON))],
        [send(answer(b"not json at all", headers=JSON))],
        [send(answer(b"", headers=JSON))],
        [reset()],
        [send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"), close()],
        [send(stream(WHOLE[0])), close()],
        [
            send(
                answer(
                    b'data: {"error": {"message": "overloaded", "code": "server_is_overloaded"}}\n\n',
                    headers=EVENTS,
                )
            )
        ],
    ],
    ids=["503", "html", "429", "401", "garbage", "empty", "reset", "cut", "role-only", "error-in-200"],
)
async def test_a_failure_before_the_first_content_is_invisible(tmp_path: Path, fault, streamed):
    async with Faulty() as bad, Faulty() as good:
        text = routing(route("a", "b"), {"a": upstream(bad.url), "b": upstream(good.url)})
        async with running(text, tmp_path) as gateway:
            bad.always(*fault)
            good.always(send(stream() if streamed else completion("One two")))
            async with client(gateway.url) as ai:
                if streamed:
                    pieces = await ai.chat.completions.create(**ASK, stream=True)
                    said = "".join([piece.choices[0].delta.content or "" async for piece in pieces])
                else:
                    raw = await ai.chat.completions.with_raw_response.create(**ASK)
                    said = raw.parse().choices[0].message.content
                    assert raw.headers["x-fairlead-target"] == "b/up-1"
                    assert raw.headers["x-fairlead-attempts"] == "2"
            assert said == "One two"


@pytest.mark.parametrize("ending", [close, reset], ids=["clean", "reset"])
async def test_a_stream_cut_after_content_never_looks_complete(tmp_path: Path, ending):
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        whole = stream()
        for kept in range(whole.index(b"One"), whole.index(b'"stop"'), 97):
            up.next(send(whole[:kept]), ending())
            async with client(gateway.url) as ai:
                with pytest.raises(openai.APIError):
                    async for _ in await ai.chat.completions.create(**ASK, stream=True):
                        pass


async def test_content_that_came_together_with_the_error_is_not_lost(tmp_path: Path):
    heard = asyncio.Event()
    said: list[str] = []

    async def listen(ai: openai.AsyncOpenAI) -> None:
        async for piece in await ai.chat.completions.create(**ASK, stream=True):
            said.append(piece.choices[0].delta.content or "")
            heard.set()

    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        broken = b'data: {"error": {"message": "out of memory", "code": 500}}\n\n'
        up.always(send(first_part()), wait(heard), send(chunk_of(WHOLE[2] + broken)), close())
        async with client(gateway.url) as ai:
            with pytest.raises(openai.APIError):
                await listen(ai)
    assert "".join(said) == "One two"


async def test_a_stream_that_ends_without_a_finish_reason_is_an_error_not_an_answer(tmp_path: Path):
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(send(stream(*WHOLE[:3])))
        async with httpx2.AsyncClient() as http:
            got = await http.post(
                f"{gateway.url}/v1/chat/completions",
                json={**ASK, "stream": True},
                headers={"authorization": f"Bearer {KEY}"},
            )
        assert "[DONE]" not in got.text
        last = json.loads(got.text.strip().split("\n\n")[-1].removeprefix("data: "))
        assert last["error"]["code"] == "bad_upstream_response"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_closes_the_upstream_within_a_second(tmp_path: Path, streamed):
    left = asyncio.Event()
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(*([send(first_part())] if streamed else []), until_left(left))
        async with client(gateway.url) as ai:
            call = asyncio.ensure_future(ai.chat.completions.create(**ASK, stream=streamed))
            while not up.requests:
                await asyncio.sleep(0.005)
            if streamed:
                answer_stream = await call
                await anext(aiter(answer_stream))
                await answer_stream.close()
            else:
                await asyncio.sleep(0)
                call.cancel()
            async with asyncio.timeout(1.0):
                await left.wait()
        assert gateway.gateway._board.known["a/up-1"].in_flight == 0


async def test_a_slow_first_token_goes_to_the_next_target(tmp_path: Path):
    never = asyncio.Event()
    async with Faulty() as slow, Faulty() as good:
        models = route("a", "b")
        models["fast"]["timeout"] = {"first_token": "200ms"}
        text = routing(models, {"a": upstream(slow.url), "b": upstream(good.url)})
        async with running(text, tmp_path) as gateway:
            slow.always(send(first_part(WHOLE[0])), wait(never))
            good.always(send(stream()))
            async with client(gateway.url) as ai:
                pieces = await ai.chat.completions.create(**ASK, stream=True)
                said = "".join([piece.choices[0].delta.content or "" async for piece in pieces])
        assert said == "One two"


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        ("400 Bad Request", openai.BadRequestError),
        ("422 Unprocessable Entity", openai.UnprocessableEntityError),
        ("429 Too Many Requests", openai.RateLimitError),
        ("401 Unauthorized", openai.InternalServerError),
        ("404 Not Found", openai.InternalServerError),
        ("503 Service Unavailable", openai.InternalServerError),
    ],
)
async def test_the_client_gets_its_own_error_classes(tmp_path: Path, status, raised):
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(send(answer(b'{"error": {"message": "the words", "param": "messages"}}', status, JSON)))
        async with client(gateway.url) as ai:
            with pytest.raises(raised) as caught:
                await ai.chat.completions.create(**ASK)
        assert caught.value.body is not None
        if raised in (openai.BadRequestError, openai.UnprocessableEntityError):
            assert "the words" in str(caught.value)
            assert caught.value.param == "messages"


async def test_wrong_and_missing_keys_get_one_and_the_same_answer(tmp_path: Path):
    async with running(routing(route("a"), {"a": upstream("http://127.0.0.1:9")}), tmp_path) as gateway:
        async with httpx2.AsyncClient() as http:
            answers = {
                (got.status_code, got.content)
                for headers in (
                    {},
                    {"authorization": "Bearer nope"},
                    {"authorization": "Basic x"},
                    {"x-api-key": ""},
                )
                if (got := await http.post(f"{gateway.url}/v1/chat/completions", json=ASK, headers=headers))
            }
    assert len(answers) == 1
    status, body = answers.pop()
    assert status == 401
    assert json.loads(body)["error"]["code"] == "invalid_api_key"


async def test_a_fields_name_cannot_split_the_response(tmp_path: Path):
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "stop_reason": "end_turn"}
    body = {
        **message,
        "content": [{"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    async with Faulty() as up:
        async with running(routing(route("a"), {"a": upstream(up.url, "anthropic")}), tmp_path) as gateway:
            up.always(send(answer(json.dumps(body).encode(), headers=JSON)))
            async with httpx2.AsyncClient() as http:
                got = await http.post(
                    f"{gateway.url}/v1/chat/completions",
                    json={
                        **ASK,
                        "max_tokens": 5,
                        "seed": 1,
                        "a\r\nset-cookie: evil=1\r\n\r\nHTTP/1.1 200 OK": 1,
                    },
                    headers={"authorization": f"Bearer {KEY}"},
                )
    assert got.status_code == 200
    assert "set-cookie" not in got.headers
    assert got.headers["x-fairlead-dropped-params"] == "seed"


async def test_a_stream_of_two_choices_is_complete_when_both_are(tmp_path: Path):
    def choice(index: int, delta: dict, finish: str | None = None) -> bytes:
        return event(delta, finish, choices=[{"index": index, "delta": delta, "finish_reason": finish}])

    begun = [
        choice(0, {"role": "assistant", "content": "A"}),
        choice(1, {"role": "assistant", "content": "B"}),
    ]
    async with Faulty() as up, running(routing(route("a"), {"a": upstream(up.url)}), tmp_path) as gateway:
        async with client(gateway.url) as ai:
            up.next(send(stream(*begun, choice(0, {}, "stop"))), close())
            pieces = await ai.chat.completions.create(**ASK, stream=True, n=2)
            with pytest.raises(openai.APIError):
                async for _ in pieces:
                    pass
            up.next(send(stream(*begun, choice(0, {}, "stop"), choice(1, {}, "stop"), DONE)))
            pieces = await ai.chat.completions.create(**ASK, stream=True, n=2)
            assert [piece.choices[0].index async for piece in pieces] == [0, 1, 0, 1]


async def test_an_embedded_picture_is_not_counted_as_text(tmp_path: Path):
    models = route("a")
    models["fast"]["targets"][0]["context_window"] = 10_000
    async with Faulty() as up, running(routing(models, {"a": upstream(up.url)}), tmp_path) as gateway:
        up.always(send(completion()))
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
        async with client(gateway.url) as ai:
            await ai.chat.completions.create(model="fast", messages=[{"role": "user", "content": [picture]}])
            with pytest.raises(openai.BadRequestError):
                await ai.chat.completions.create(
                    model="fast", messages=[{"role": "user", "content": "word " * 80_000}]
                )
