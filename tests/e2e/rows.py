"""Writes the files of batches, and reads what they were answered with."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from openai.types import Batch

from tests.e2e.processes import until
from tests.e2e.stage import TINY, Guest

VIDEOS, CHAT = "/v1/videos", "/v1/chat/completions"
OVER = ("completed", "failed", "cancelled", "expired")


def video(name: str, prompt: str, **body: Any) -> dict[str, Any]:
    """The line of a tiny video."""
    asked = {"model": "sora-2", "prompt": prompt, **TINY, **body}
    return {"custom_id": name, "method": "POST", "url": VIDEOS, "body": asked}


def chat(name: str, words: str, model: str = "demo", **body: Any) -> dict[str, Any]:
    """The line of a question."""
    asked = {"model": model, "messages": [{"role": "user", "content": words}], **body}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": asked}


def jsonl(rows: Iterable[Any]) -> bytes:
    """The file of these lines; one that is text is written as it is."""
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in rows).encode()


def begin(guest: Guest, rows: Iterable[Any], endpoint: Any = VIDEOS, **more: Any) -> Batch:
    """A batch of these rows."""
    file = guest.openai.files.create(file=("rows.jsonl", jsonl(rows)), purpose="batch")
    return guest.openai.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more
    )


def finished(guest: Guest, batch: str) -> Batch:
    """The batch once it is over."""
    until(lambda: guest.openai.batches.retrieve(batch).status in OVER)
    return guest.openai.batches.retrieve(batch)


def lines(guest: Guest, file: str | None) -> Mapping[str, Any]:
    """The lines of a file of results by their custom_id, each checked; none when there is no file."""
    found = [json.loads(line) for line in guest.openai.files.content(file).text.splitlines()] if file else []
    for line in found:
        assert list(line) == ["id", "custom_id", "response", "error"]
        assert (line["response"] is None) != (line["error"] is None)
    by_name = {line["custom_id"]: line for line in found}
    assert len(by_name) == len({line["id"] for line in found}) == len(found)
    return by_name
