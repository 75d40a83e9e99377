"""One JSON line per call on standard output, written in batches so that no request waits for it."""

import asyncio
import os
from collections.abc import Callable

import msgspec

from gateway.telemetry.record import CONTINUATION, Call

FLUSH_SECONDS = 0.1
_encode = msgspec.json.Encoder().encode


def line(call: Call, now: float) -> bytes:
    """What is said of one call: an allow-list, so that nothing slips in. `now` is Unix seconds.

    Times are cut to the microsecond by `// 1`, which costs no call.
    """
    chosen = call.chosen
    told: dict[str, object] = {
        "time": now * 1e3 // 1 / 1e3,
        "message": "call",
        "request_id": call.request_id,
        "trace_id": f"{call.trace_id:032x}",
        "key": call.key_id,
        "method": call.method,
        "route": call.route,
        "status": call.status,
        "duration_ms": (call.ended - call.started) * 1e6 // 1 / 1e3,
    }
    if call.model:
        told |= {"model": call.model, "attempts": len(call.attempts), "stream": call.stream}
    if call.error:
        told["error"] = call.error
    if chosen is not None:
        told["target"] = chosen.target
        told["upstream_ms"] = (chosen.ended - chosen.started) * 1e6 // 1 / 1e3
        if chosen.usage is not None:
            told |= {"input_tokens": chosen.usage.input, "output_tokens": chosen.usage.output}
        if chosen.cost is not None:
            told["cost_usd"] = chosen.cost / 1e9
        if chosen.first_content is not None:
            told["first_token_ms"] = (chosen.first_content - call.started) * 1e6 // 1 / 1e3
        if chosen.kind == CONTINUATION:
            _tell_of_all_parts(call, told)
    return _encode(told) + b"\n"


def _tell_of_all_parts(call: Call, told: dict[str, object]) -> None:
    """What a continued answer used, and when it began: the attempts that gave a part of it have a usage."""
    parts = [one for one in call.attempts if one.usage is not None]
    costs = [one.cost for one in parts if one.cost is not None]
    told["input_tokens"] = sum(one.usage.input for one in parts if one.usage)
    told["output_tokens"] = sum(one.usage.output for one in parts if one.usage)
    told["first_token_ms"] = ((parts[0].first_content or 0.0) - call.started) * 1e6 // 1 / 1e3
    if len(costs) == len(parts):
        told["cost_usd"] = sum(costs) / 1e9
    else:
        told.pop("cost_usd", None)


class Lines:
    """Collects lines and writes them every FLUSH_SECONDS. `write` takes bytes and must not raise."""

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self._write = write or _to_stdout
        self._waiting: list[bytes] = []

    def add(self, text: bytes) -> None:
        """Note one line, newline included."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        self._waiting.append(text)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._write(b"".join(waiting))


def _to_stdout(text: bytes) -> None:
    try:
        os.write(1, text)
    except OSError:
        return  # nobody reads our output any more; that is no reason to fail a request
