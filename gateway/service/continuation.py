"""Lets another target go on with a stream that broke in the middle, where the route says `on_cut: continue`.

Theory of operation
-------------------
A stream on such a route is read as a `Part`, which notes in a `Said` what the client has been given. When it
breaks, `Said.cut` begins a joint and the plan is walked again, without the targets that were asked before:
each gets the client's request with the text so far (`request_for`), and the first whose stream has content
becomes the next part. To the client it is one answer: the id, the model and the time of the first part, one
role, one finish, and the usage of all parts together. The finish chunk names every joint under `fairlead`.

The text so far is handed over in the way the target can take it:

* `prefill`: as the beginning of its own answer, when its row says that it goes on from one;
* `instruction`: as its answer so far, and behind it the request to go on exactly there;
* `restart`: the request as it was, when no text was shown yet (but reasoning, say).

Only prose is continued (`wish.is_prose`), and only before a refusal: in JSON or a call a program would act on
the seam. What a part used is booked when it breaks; a continuation is a retry like any other, within the
attempts, the budget and the deadline of the request. When nobody can go on the client is told of the cut,
never of what the others answered to a request that was not its own.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict, replace

from gateway.config.snapshot import Route, RouteTarget
from gateway.routing.plan import Plan
from gateway.service.stream import Reading, declared
from gateway.service.wish import is_prose
from gateway.transport.client import Answer
from providers.adapter import ChatStream
from providers.errors import ProviderError
from providers.types import ChatRequest, Chunk, Usage, encode

INSTRUCTION = (
    "The connection broke while you were answering, and your last message ends where it broke. Go on from "
    "exactly there, as if nothing had happened: the first thing you write is what comes right after the last "
    "character. Repeat nothing of it and do not mention the interruption."
)
CAPS = ("max_completion_tokens", "max_tokens")
_THINKING = frozenset(("reasoning_effort", "reasoning", "thinking"))
"""Who asks for them gets a model that thinks first, and such a model refuses to be given a beginning."""
_SHOWN = ("content", "reasoning_content", "refusal")
"""What a later part may add to the answer; indices of anything else would clash with the first part's."""

_list = msgspec.json.Decoder(list[Raw]).decode


class Joint(Struct, kw_only=True, rename={"source": "from", "target": "to"}):
    """Where one target's text ends and the next one's begins: `at` counts characters of the answer."""

    at: int
    source: str
    reason: str
    target: str = ""
    way: str = ""


class Said:
    """What the client has been given of one answer, by however many targets.

    `joints` names the breaks so far, `used` what the parts before the last one used.
    """

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._text: list[str] = []
        self._frame: dict[str, Any] = {}
        self._refused = False
        self._trim = False
        self.joints: list[Joint] = []
        self.used = Usage()

    def fresh(self) -> "Said":
        """For the next attempt: calls that run at once keep their words apart until one of them is chosen."""
        return self if self.joints else Said(self._request)

    @property
    def continuable(self) -> bool:
        """Whether another target may go on."""
        return not self._refused

    def cut(self, source: RouteTarget, error: ProviderError, used: Usage) -> None:
        """The part that came from `source` broke, having used so much."""
        text = "".join(self._text)
        self._text = [text]
        self.joints.append(Joint(at=len(text), source=source.id, reason=str(error.kind)))
        self.used = _sum(self.used, used)

    def request_for(self, target: RouteTarget) -> ChatRequest:
        """The client's request, with what was said so far in the way that this target takes it.

        A call begins: what the one before it said, and no `cut` confirmed, was never passed on.
        """
        self._refused = False
        if not self.joints:
            self._text, self._frame = [], {}
            return self._request
        joint, body, text = self.joints[-1], dict(self._request.body), self._text[0]
        self._text, self._trim = [text], text != text.rstrip()
        joint.target, joint.way = target.id, "restart"
        if text.strip():
            prefill = target.prefill and not _THINKING & body.keys()
            joint.way = "prefill" if prefill else "instruction"
            messages = [*_list(body["messages"]), _message("assistant", text.rstrip() if prefill else text)]
            if not prefill:
                messages.append(_message("user", INSTRUCTION))
            body["messages"] = Raw(encode(messages))
        for name in CAPS:
            if name in body and isinstance(cap := msgspec.json.decode(body[name]), int):
                body[name] = Raw(encode(max(1, cap - self.used.output)))
        return replace(self._request, body=body)

    def show(self, chunk: Chunk, usage: Usage | None) -> Chunk:
        """A chunk of the latest part as the client is to see it; `usage` is that part's, as far as it is known."""
        if not chunk.data:
            return chunk
        body = msgspec.json.decode(chunk.data)
        later = bool(self.joints)
        if not later:
            self._frame = self._frame or {name: body[name] for name in ("id", "created", "model")}
        choice = next(iter(body["choices"]), None)
        if choice is None:
            return self._with_usage(chunk, body, usage) if later else chunk
        delta = {name: choice["delta"][name] for name in _SHOWN if choice["delta"].get(name)}
        if later:
            self._trimmed(delta)
        if "content" in delta:
            self._text.append(delta["content"])
        self._refused = self._refused or "refusal" in delta
        return self._joined(chunk, {**body, "choices": [{**choice, "delta": delta}]}) if later else chunk

    def _trimmed(self, delta: dict[str, Any]) -> None:
        """Take off the space that stands at the joint already."""
        if self._trim and "content" in delta:
            delta["content"] = delta["content"].lstrip()
            self._trim = not delta["content"]
            if self._trim:
                del delta["content"]

    def _joined(self, chunk: Chunk, body: dict[str, Any]) -> Chunk:
        finished = chunk.finish_reason is not None
        if not body["choices"][0]["delta"] and not finished:
            return replace(chunk, data=b"", content=False)
        data = encode({**body, **self._frame})
        if finished:
            data = declared(data, "continued", [msgspec.to_builtins(joint) for joint in self.joints])
        return replace(chunk, data=data)

    def _with_usage(self, chunk: Chunk, body: dict[str, Any], usage: Usage | None) -> Chunk:
        whole = _sum(self.used, chunk.usage or usage or Usage())
        return replace(chunk, data=encode({**body, **self._frame, "usage": whole.openai()}))


class Part(Reading):
    """One target's part of an answer. The facts are its own; what the client sees fits the parts before it."""

    __slots__ = ("said",)

    def __init__(
        self, answer: Answer, decoder: ChatStream, said: Said, request: ChatRequest, target: RouteTarget
    ) -> None:
        super().__init__(answer, decoder, request, target.timeouts)
        self.said = said

    def _take(self, chunks: Iterable[Chunk], framed: list[bytes]) -> bool:
        return super()._take((self.said.show(chunk, self.usage) for chunk in chunks), framed)


def said_of(route: Route, request: object) -> Said | None:
    """What is to be noted of the answer to this request; None when nobody may go on with it."""
    wanted = route.on_cut == "continue" and isinstance(request, ChatRequest) and request.stream
    return Said(request) if wanted and isinstance(request, ChatRequest) and is_prose(request) else None


def successors(route: Route, made: Plan, asked: Iterable[str]) -> Plan:
    """The plan without the targets that were asked already; a route's only target may be asked again."""
    if len(route.targets) == 1:
        return made
    before = frozenset(asked)
    return replace(made, order=[target for target in made.order if target.id not in before])


def _message(role: str, text: str) -> Raw:
    return Raw(encode({"role": role, "content": text}))


def _sum(one: Usage, other: Usage) -> Usage:
    more = asdict(other)
    return Usage(**{name: count + more[name] for name, count in asdict(one).items()})
