"""A video provider on loopback that speaks OpenAI Videos and goes wrong on command.

It keeps its own books: `accepted` counts, per token, how many videos were really begun, which is what a
provider would bill. Faults are lists that are used up one by one; "ok" means no fault.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(range(256)) * 1200
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
REASONS = {200: "OK", 206: "Partial Content", 400: "Bad Request", 404: "Not Found", 429: "Slow", 500: "Oops"}


@dataclass
class Video:
    """One video at the provider. `failed` is the fault that ended it, for good."""

    id: str
    token: str
    fields: Mapping[str, Any]
    polls: int = 0
    failed: str = ""


@dataclass
class Provider:
    """`polls` is how many polls it takes until a video is done.

    Faults of `submit`: "ok", "lose" (begins the video, then hangs up without a word), "drop" (hangs up and
    begins nothing), or (status, error code). Of `poll`: "ok", "fail", "blame", "forget", or a status. Of
    `content`: "ok", "cut" (half of it), "text", or a status. Every video is `film`. Its list says of each video
    what `lists` makes of it; without that it has none. `watch` is called when a request has come, and again when
    it has had its effect but its answer is not yet sent.
    """

    polls: int = 1
    deduplicates: bool = False
    submit: list[Any] = field(default_factory=list)
    poll: list[Any] = field(default_factory=list)
    content: list[Any] = field(default_factory=list)
    thumbnail: bytes | None = None
    lists: Callable[[Video], Mapping[str, Any]] | None = None
    film: bytes = MP4
    accepted: Counter[str] = field(default_factory=Counter)
    videos: dict[str, Video] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    watch: Callable[[str], None] = lambda _: None
    url: str = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._open: set[asyncio.StreamWriter] = set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((method, path))
                self.watch("came")
                answer = await self._answer(method, path, headers, body)
                self.watch("done")
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
                if b"connection: close" in answer[:200]:
                    break
        self._open.discard(writer)
        writer.close()

    async def _answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
        path, _, query = path.removeprefix("/v1/videos").partition("?")
        if method == "POST":
            if self.gate is not None:
                await self.gate.wait()
            return self._submitted(path, headers, body)
        if not path:
            made = [self.lists(video) for video in self.videos.values()] if self.lists else None
            return refusal(404, "not_found") if made is None else reply(200, {"data": made})
        identity = path.split("/")[1]
        if method == "DELETE":
            self.deleted.append(identity)
            known = self.videos.pop(identity, None)
            return reply(200 if known else 404, {"id": identity, "deleted": True})
        if path.endswith("/content"):
            return self._content(query, headers)
        return self._polled(identity)

    def _submitted(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes | None:
        fault = self.submit.pop(0) if self.submit else "ok"
        token = headers.get("idempotency-key", "")
        if isinstance(fault, tuple):
            return refusal(*fault)
        if fault == "drop":
            return None
        same = next((video for video in self.videos.values() if video.token == token), None)
        if not (self.deduplicates and same):
            self.accepted[token] += 1
            fields = json.loads(body) if headers.get("content-type") == "application/json" else {"form": body}
            same = Video(id=f"up_{len(self.videos)}", token=token, fields={**fields, "path": path})
            self.videos[same.id] = same
        return None if fault == "lose" else reply(200, shown(same, "queued", 0))

    def _polled(self, identity: str) -> bytes:
        fault = self.poll.pop(0) if self.poll else "ok"
        video = self.videos.get(identity)
        if isinstance(fault, int):
            return refusal(fault, "broken")
        if video is None or fault == "forget":
            return refusal(404, "not_found")
        if fault in ("fail", "blame") and video.polls < self.polls:
            video.failed = fault
        if video.failed:
            code = "moderation_blocked" if video.failed == "blame" else "render_failed"
            words = {"code": code, "message": "The words of the provider."}
            return reply(200, {**shown(video, "failed", 30), "error": words})
        video.polls += 1
        done = video.polls >= self.polls
        return reply(200, shown(video, "completed" if done else "in_progress", 100 if done else 40))

    def _content(self, query: str, headers: Mapping[str, str]) -> bytes:
        if "thumbnail" in query:
            return raw(200, "image/png", self.thumbnail) if self.thumbnail else refusal(404, "no_thumbnail")
        fault = self.content.pop(0) if self.content else "ok"
        if isinstance(fault, int):
            return refusal(fault, "broken")
        if fault == "text":
            return raw(200, "text/html", b"<html>sorry</html>")
        start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        film = self.film
        more = {"content-range": f"bytes {start}-{len(film) - 1}/{len(film)}"} if start else {}
        answer = raw(206 if start else 200, "video/mp4", film[start:], **more)
        if fault == "cut":
            return answer.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)[: len(answer) // 2]
        return answer


def shown(video: Video, status: str, progress: int) -> dict[str, Any]:
    return {
        "id": video.id, "object": "video", "status": status, "progress": progress, "created_at": 1,
        "model": "m", "seconds": str(video.fields.get("seconds", "4")), "size": "1280x720",
    }  # fmt: skip


def reply(status: int, value: object) -> bytes:
    return raw(status, "application/json", json.dumps(value).encode())


def refusal(status: int, code: str) -> bytes:
    return reply(status, {"error": {"message": "No.", "type": "error", "code": code}})


def raw(status: int, kind: str, body: bytes, **headers: str) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'X')}\r\ncontent-type: {kind}\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
