"""`fairlead videos`: makes, lists, shows and follows videos of a running gateway, as any client of it would."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TextIO

import httpx2
import msgspec
import typer

from gateway.commands.progress import bar, row

KEY_VARIABLE = "FAIRLEAD_KEY"
_TIMEOUT = 60.0
_PATIENCE = 20
"""How many questions in a row may fail while watching: a gateway that is restarted is back by then."""
_PAUSE = 1.0


class Door:
    """The gateway's HTTP API. Whatever it refuses, or when nobody answers, ends the command with a sentence."""

    def __init__(self, url: str, key_file: Path | None) -> None:
        headers = {"authorization": f"Bearer {_key(key_file)}"}
        self._http = httpx2.Client(base_url=url.removesuffix("/"), headers=headers, timeout=_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def create(self, fields: Mapping[str, str | None], image: Path | None) -> Mapping[str, Any]:
        """Order a video; fields that are None are left to the gateway."""
        told = {name: (None, value) for name, value in fields.items() if value is not None}
        if image is None:
            return self._json("POST", "/v1/videos", files=told)
        try:
            with image.open("rb") as picture:
                return self._json("POST", "/v1/videos", files={**told, "input_reference": picture})
        except OSError as error:
            raise _ended(f"{image}: cannot be read: {error.strerror}") from error

    def page(self, limit: int) -> list[Mapping[str, Any]]:
        """The newest videos."""
        found: list[Mapping[str, Any]] = self._json("GET", "/v1/videos", params={"limit": limit})["data"]
        return found

    def get(self, video: str) -> Mapping[str, Any]:
        """One video as it stands."""
        return self._json("GET", f"/v1/videos/{_path(video)}")

    def states(self, video: str) -> Iterator[Mapping[str, Any]]:
        """The video as it stands, again and again until it is over; questions that fail are asked again."""
        while True:
            answer = self._patient(f"/v1/videos/{_path(video)}")
            seen = _checked(answer)
            yield seen
            if seen["status"] in ("completed", "failed"):
                return
            _pause(int(answer.headers.get("openai-poll-after-ms", 1000)) / 1000)

    def download(self, video: str, output: Path) -> None:
        """The finished video as a file, which appears whole or not at all."""
        part = output.with_name(f"{output.name}.part")
        try:
            with self._http.stream("GET", f"/v1/videos/{_path(video)}/content") as answer:
                if answer.is_error:
                    answer.read()
                    _checked(answer)
                with part.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
            part.replace(output)
        except OSError as error:
            raise _ended(f"{output}: cannot be written: {error.strerror}") from error
        except httpx2.TransportError as error:
            raise self._away(error) from error
        finally:
            part.unlink(missing_ok=True)

    def _patient(self, path: str) -> httpx2.Response:
        for _ in range(_PATIENCE):
            with suppress(httpx2.TransportError):
                answer = self._http.get(path)
                if answer.status_code < 500:
                    return answer
            time.sleep(_PAUSE)
        try:
            return self._http.get(path)
        except httpx2.TransportError as error:
            raise self._away(error) from error

    def _json(self, method: str, path: str, **told: Any) -> Mapping[str, Any]:
        try:
            return _checked(self._http.request(method, path, **told))
        except httpx2.TransportError as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> typer.Exit:
        return _ended(
            f"The gateway at {self._http.base_url} does not answer: {error}. Set --url to where it is."
        )


def create(door: Door, fields: Mapping[str, str | None], image: Path | None, output: Path | None) -> int:
    """Order a video and print its id; with `output`, follow it and fetch it."""
    video = door.create(fields, image)
    sys.stdout.write(f"{video['id']}\n")
    sys.stdout.flush()
    return 0 if output is None else watch(door, video["id"], output)


def listing(door: Door, limit: int) -> int:
    """One line per video, newest first."""
    for video in door.page(limit):
        sys.stdout.write(f"{row(video)}\n")
    return 0


def show(door: Door, video: str, output: Path | None) -> int:
    """The Video object as JSON; with `output` its file, too."""
    seen = door.get(video)
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(seen), indent=2).decode() + "\n")
    if output is not None:
        door.download(video, output)
    return 0


def watch(door: Door, video: str, output: Path | None) -> int:
    """Follow a video to its end and fetch it; 1 when it failed. A terminal sees a bar that moves."""
    seen: Mapping[str, Any] = {}
    with _leaving(video), _Screen(sys.stderr) as screen:
        for seen in door.states(video):
            screen.show(bar(seen))
    if seen["status"] == "failed":
        sys.stderr.write(f"{seen['error']['code']}: {seen['error']['message']}\n")
        return 1
    if output is not None:
        door.download(video, output)
        sys.stderr.write(f"{output}: {output.stat().st_size} bytes\n")
    return 0


class _Screen:
    """Shows one line that changes: over itself on a terminal, else one below the other."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._shown = ""

    def show(self, line: str) -> None:
        """Show a line in place of the last one."""
        if line != self._shown:
            self._stream.write(f"\r{line}\x1b[K" if self._terminal else f"{line}\n")
            self._stream.flush()
        self._shown = line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal and self._shown:
            self._stream.write("\n")


def _pause(seconds: float) -> None:
    """Sleep in short pieces: a Ctrl-C that comes in the moment before one begins is only heard after it."""
    over = time.monotonic() + seconds
    while (left := over - time.monotonic()) > 0:
        time.sleep(min(left, 0.5))


@contextmanager
def _leaving(video: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"It goes on without you: fairlead videos watch {video}\n")
        raise typer.Exit(130) from None


def _key(file: Path | None) -> str:
    try:
        key = os.environ.get(KEY_VARIABLE, "") if file is None else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _ended(f"{file}: cannot be read as a key.") from error
    if not key.strip():
        raise _ended(f"No key was given: set {KEY_VARIABLE}, or name a file that holds it with --key-file.")
    return key.strip()


def _path(video: str) -> str:
    if not video.replace("_", "").isalnum() or not video.isascii():
        raise _ended(f"{video[:80]!r} is no id of a video; `fairlead videos list` shows them.")
    return video


def _checked(answer: httpx2.Response) -> Mapping[str, Any]:
    """What was answered; a refusal ends the command with the gateway's own words."""
    try:
        body = msgspec.json.decode(answer.content, type=dict[str, Any])
        message = body["error"]["message"] if answer.is_error else ""
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise _ended(f"What answered with status {answer.status_code} is no Fairlead gateway.") from error
    if answer.is_error:
        raise _ended(message)
    return body


def _ended(message: str) -> typer.Exit:
    sys.stderr.write(f"{message}\n")
    return typer.Exit(1)
