"""A provider on a real socket that speaks one chat dialect and does with each request what a test says.

    async with Upstream("anthropic") as up:
        up.plays(Act(error="busy", retry_after=2), Act(tokens=40, then="reset"), Act())
        ...                                    # the first request, the second, all further ones

It knows one answer (`speech.ANSWER`); asked to go on with a part of it, it gives the rest.
"""

import asyncio
import json
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

from tests.lab.speech import ASKED, FAILURES, SPEECHES, Speech, tokens_after
from tests.transport.faulty import Hangup, Peer, Seen, answer, chunked, close, reset, until_left
from tests.upstreams import EVENTS, JSON, Provider

HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
HALF = b'data: {"id": "chatcmpl-1", "choices": [{"ind\n\n'
"""An event that somebody on the way has cut."""
_END = b"0\r\n\r\n"


class Act(Struct, frozen=True, kw_only=True):
    """What an upstream does with one request. As it stands: the whole answer, at once.

    `error` names one of `speech.FAILURES`: the answer is that error, `retry_after` in its header; after
    `tokens` tokens of a stream when `then` is `error`. `body` is sent with status 200 in place of any answer.

    Delays in seconds: `headers_after` and `first_after` before the headers and the first token, `every`
    between tokens, `drip` between any two bytes.

    A stream says `tokens` tokens (None: all), or `size` bytes of the HTTP answer, and `then`: `end` (as it
    should, after all of it), `close` or `reset` the connection, `stall` until the gateway goes, or `error`.
    Between tokens `junk_at` puts `junk`, an event that is no JSON, in the token's place when `junk_instead`.
    `marked` false leaves out what says that the stream is over. `length` is added to the content-length of
    an answer that is not streamed. `prefill` false refuses a conversation that ends with the assistant.
    """

    error: str = ""
    retry_after: float | None = None
    body: bytes | None = None
    headers_after: float = 0.0
    first_after: float = 0.0
    every: float = 0.0
    drip: float = 0.0
    tokens: int | None = None
    size: int | None = None
    then: Literal["end", "close", "reset", "stall", "error"] = "end"
    junk_at: Sequence[int] = ()
    junk: bytes = HALF
    junk_instead: bool = False
    marked: bool = True
    length: int = 0
    prefill: bool = True


class Served(Struct, kw_only=True):
    """One request and what became of it: `asked` and `said` in tokens, `told` when the usage went out."""

    at: float
    stream: bool
    act: Act
    messages: Sequence[tuple[str, str]]
    asked: int
    said: int = 0
    told: bool = False


class Upstream(Provider):
    """The provider. `served` holds its side of the history."""

    def __init__(self, dialect: str) -> None:
        super().__init__(dialect)
        self.served: list[Served] = []
        self._acts: deque[Act] = deque([Act()])
        self.always(self._play)

    def plays(self, *acts: Act) -> None:
        """What happens to the next requests; the last act is for all that follow."""
        self._acts = deque(acts)

    async def _play(self, peer: Peer) -> None:
        act = self._acts.popleft() if len(self._acts) > 1 else self._acts[0]
        assert peer.request is not None
        served = self._received(peer.request, act)
        if served.messages[-1][0] == "assistant" and not act.prefill:
            await peer.send(self._refusal(Act(error="prefill")))
            return
        await _pause(act.headers_after)
        pieces = self._stream(served) if served.stream else self._whole(served)
        await _write(peer, act, pieces)
        if act.then == "stall":
            await until_left()(peer)
        if act.then in ("close", "reset"):
            await (close() if act.then == "close" else reset())(peer)
        if act.size is not None or act.length or (act.then == "error" and served.stream):
            raise Hangup

    def _received(self, seen: Seen, act: Act) -> Served:
        body = json.loads(seen.body)
        messages = list(_messages(body))
        before = "".join(text for role, text in messages if role == "assistant")
        served = Served(
            at=asyncio.get_running_loop().time(),
            stream=bool(body.get("stream")) or "streamGenerateContent" in seen.line,
            act=act,
            messages=messages,
            asked=ASKED + len(before.split()),
        )
        self.served.append(served)
        return served

    def _whole(self, served: Served) -> Iterator[tuple[float, bytes]]:
        act = served.act
        if act.body is not None:
            yield 0.0, answer(act.body)
        elif act.error:
            yield 0.0, self._refusal(act)
        else:
            text = "".join(_rest(served))
            served.said = len(text.split())
            body = self._speech().whole(self.model, text, served.asked, served.said)
            headers = {"content-length": str(len(body) + act.length), **JSON}
            yield act.first_after, answer(body, headers=headers)
            served.told = not act.length

    def _stream(self, served: Served) -> Iterator[tuple[float, bytes]]:
        """Pieces of the HTTP answer, each with the pause before it."""
        act, speech = served.act, self._speech()
        if act.body is not None or (act.error and act.then != "error"):
            yield from self._whole(served)
            return
        rest = _rest(served)
        kept = len(rest) if act.tokens is None else act.tokens
        begun = chunked(*speech.begin(self.model, served.asked), headers=EVENTS).removesuffix(_END)
        yield 0.0, begun
        for number, token in enumerate(rest[:kept]):
            pause = act.every if number else act.first_after
            spoilt = number in act.junk_at
            if spoilt:
                yield pause, _chunk(act.junk)
            if not (spoilt and act.junk_instead):
                yield pause, _chunk(speech.token(token))
            served.said += 1
        if act.then == "error":
            yield 0.0, _chunk(speech.error_event(FAILURES[act.error]))
        if act.tokens is None:
            for event in speech.end(served.asked, served.said):
                yield 0.0, _chunk(event)
            served.told = True
            if act.marked and speech.mark():
                yield 0.0, _chunk(speech.mark())
        if act.then == "end":
            yield 0.0, _END

    def _refusal(self, act: Act) -> bytes:
        failure = FAILURES[act.error]
        wait = {} if act.retry_after is None else {"retry-after": f"{act.retry_after:g}"}
        return answer(self._speech().error(failure), f"{failure.status} Refused", {**JSON, **wait})

    def _speech(self) -> Speech:
        return SPEECHES[self.dialect]()

    @property
    def model(self) -> str:
        """The name that it gives itself in its answers."""
        return f"{self.dialect}-{self.port}"


def _rest(served: Served) -> Sequence[str]:
    return tokens_after("".join(text for role, text in served.messages if role == "assistant"))


def _messages(body: Any) -> Iterator[tuple[str, str]]:
    """Role and text of each message, in whichever dialect; the model's role is `assistant`."""
    for message in body.get("messages") or body["contents"]:
        role = "assistant" if message["role"] == "model" else message["role"]
        content = message.get("content") or message.get("parts")
        yield role, content if isinstance(content, str) else "".join(part["text"] for part in content)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _write(peer: Peer, act: Act, pieces: Iterator[tuple[float, bytes]]) -> None:
    left = act.size
    for pause, data in pieces:
        await _pause(pause)
        kept = data if left is None else data[:left]
        for part in [kept] if not act.drip else [kept[at : at + 1] for at in range(len(kept))]:
            await peer.send(part)
            await _pause(act.drip)
        left = None if left is None else left - len(kept)
        if left == 0:
            return


async def _pause(seconds: float) -> None:
    if seconds:
        await asyncio.sleep(seconds)
