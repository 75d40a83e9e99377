"""A provider that knows to the token what it bills, whatever becomes of whoever asked.

What a request wants is in its message, as JSON: `n`, the number by which it is known, and `act`, one of ACTS. Its
number comes back as the input tokens of its usage, which every event of a stream carries: so a gateway that was told
of a token was told what is billed for it.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tests.transport.faulty import Faulty, Peer, answer, chunked, close, until_left
from tests.upstreams import EVENTS, JSON

ACTS = ("whole", "slow", "stream", "long", "leave", "cut", "busy")
"""An answer at once or after SLOW seconds, a stream of a few tokens or one a while, one whose caller leaves in the
middle, one that is cut there, and an answer that only the second call gets."""
STREAMED = frozenset({"stream", "long", "leave", "cut"})
KEPT = 5
"""Tokens of a stream that its caller leaves or that is cut."""
SLOW = 0.4
_END = b"0\r\n\r\n"


class Meter(Faulty):
    """The provider; `billed` is output tokens by the number of the request, `calls` how often it was asked."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.billed: Counter[int] = Counter()
        self.calls = 0
        self._dice = dice
        self._refused: set[int] = set()
        self.always(self._answer)

    async def _answer(self, peer: Peer) -> None:
        assert peer.request is not None
        self.requests.clear()
        self.calls += 1
        body = json.loads(peer.request.body)
        wish = json.loads(body["messages"][-1]["content"])
        number, act = wish["n"], wish["act"]
        if act == "busy" and number not in self._refused:
            self._refused.add(number)
            refusal = {"error": {"message": "Overloaded.", "code": "server_is_overloaded"}}
            await peer.send(answer(json.dumps(refusal).encode(), "503 Busy", JSON))
        elif act in STREAMED:
            await self._stream(peer, number, act)
        else:
            await asyncio.sleep(SLOW if act == "slow" else 0.0)
            self.billed[number] += (said := self._dice.randrange(1, 900))
            await peer.send(answer(json.dumps(_whole(number, said)).encode(), headers=JSON))

    async def _stream(self, peer: Peer, number: int, act: str) -> None:
        await peer.send(chunked(headers=EVENTS).removesuffix(_END))
        for event in _events(number, 30 if act == "long" else 2 * KEPT):
            if act in ("leave", "cut") and self.billed[number] == KEPT:
                await (until_left() if act == "leave" else close())(peer)
            self.billed[number] += event["choices"][0]["finish_reason"] is None
            await peer.send(_framed(event))
            await asyncio.sleep(0.02 if act == "long" else 0.001)
        await peer.send(b"e\r\ndata: [DONE]\n\n\r\n" + _END)


def _events(number: int, tokens: int) -> Iterator[dict[str, Any]]:
    for said in range(1, tokens + 2):
        finish = "stop" if said > tokens else None
        delta = {} if finish else {"content": " word", **({"role": "assistant"} if said == 1 else {})}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        yield {**_frame(number, min(said, tokens), "chat.completion.chunk"), "choices": [choice]}


def _whole(number: int, said: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": "word"}
    choices: Sequence[Any] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {**_frame(number, said, "chat.completion"), "choices": choices}


def _frame(number: int, said: int, kind: str) -> dict[str, Any]:
    usage = {"prompt_tokens": number, "completion_tokens": said, "total_tokens": number + said}
    return {"id": f"chatcmpl-{number}", "object": kind, "created": 1, "model": "metered", "usage": usage}


def _framed(event: dict[str, Any]) -> bytes:
    data = b"data: %b\n\n" % json.dumps(event).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)
