"""A video provider on loopback that says what the test wrote down for it, whatever its dialect."""

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.service.video_provider import raw, reply


@dataclass
class Heard:
    """One request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """`script` maps "METHOD /path" (the query included) to answers, which are given one after the other and the
    last one ever after: JSON, bytes of a file, a tuple of status and JSON, or None to hang up. Without its query
    a path stands for all queries that have no entry of their own; what has none at all is a 404. `URL` in a text
    of the JSON becomes the address of this provider. `redirects` are paths that lead on.
    """

    script: Mapping[str, Sequence[Any]]
    heard: list[Heard] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def __aenter__(self) -> Self:
        self._given: dict[str, int] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.close()
        await asyncio.sleep(0)

    def sent(self, method: str) -> list[Heard]:
        """The requests with that method."""
        return [one for one in self.heard if one.method == method]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.heard.append(Heard(method, path, headers, body))
                answer = self._answer(f"{method} {path}")
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        self._open.discard(writer)
        writer.close()

    def _answer(self, line: str) -> bytes | None:
        moved = self.redirects.get(line.removeprefix("GET "))
        if moved is not None:
            return raw(302, "text/plain", b"", location=moved)
        answers = self.script.get(line) or self.script.get(line.partition("?")[0])
        if answers is None:
            return reply(404, {"error": "not found"})
        number = self._given.get(line, 0)
        self._given[line] = number + 1
        told = answers[min(number, len(answers) - 1)]
        if told is None or isinstance(told, bytes):
            return told and raw(200, "video/mp4", told)
        status, value = told if isinstance(told, tuple) else (200, told)
        return reply(status, json.loads(json.dumps(value).replace("URL", self.url)))
