"""Videos as lines of text: a bar with what is left, and a row of a list (pure)."""

from collections.abc import Mapping
from typing import Any

_WIDTH = 30
_PROMPT = 40


def bar(video: Mapping[str, Any]) -> str:
    """How far a Video object is, on one line: `in_progress [#####-----]  50 %  about 12 s left`."""
    done = video["progress"]
    full = _WIDTH * done // 100
    line = f"{video['status']:<11} [{'#' * full}{'-' * (_WIDTH - full)}] {done:3d} %"
    eta = video.get("eta")
    return line if eta is None else f"{line}  about {span(eta)} left"


def span(seconds: float) -> str:
    """A length of time as people say it: `8 s`, `2 min 05 s`, `1 h 02 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def row(video: Mapping[str, Any]) -> str:
    """A Video object on one line: id, state, length, size, model, and how its prompt begins."""
    prompt = "".join(letter if letter.isprintable() else " " for letter in video["prompt"] or "")
    prompt = prompt if len(prompt) <= _PROMPT else prompt[: _PROMPT - 1] + "…"
    state = (
        f"{video['status']} {video['progress']} %" if video["status"] == "in_progress" else video["status"]
    )
    return (
        f"{video['id']}  {state:<16} {video['seconds']:>4} s  {video['size']:<9}  {video['model']}  {prompt}"
    )
