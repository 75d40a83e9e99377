"""What a webhook says, how it is signed, and when it is sent again (pure but for the id of a new one).

The body is OpenAI's event with a few keys more, so that it satisfies the official client's
`webhooks.unwrap` and receivers that look for `job_id`, `status` and `video_url` (VIDEO_WIRE 1.9, 2.4). It is
signed by the Standard Webhooks scheme, once with each secret: while two are in use, receivers may know either.
"""

import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.clock import ulid
from gateway.config.snapshot import Caller
from gateway.service.job_states import COMPLETED
from gateway.service.video_links import Links, content_url
from gateway.service.video_request import ask_of
from gateway.store.jobs import Job
from gateway.store.outbox import Notice
from gateway.transport.post import Receipt

JITTER = 0.2
GONE = 410


def notice_of(job: Job, now: float) -> Notice | None:
    """What is to be told of a job that has just ended; None when nobody is to be told."""
    ask = ask_of(job)
    if ask.callback_url is None or job.deleted_at is not None:
        return None
    identity, event = f"evt_{ulid(now)}", f"video.{job.state}"
    payload = {
        "id": identity,
        "object": "event",
        "created_at": int(now),
        "type": event,
        "data": {"id": job.id},
        "job_id": job.id,
        "status": job.state,
        "video_url": content_url(ask.base_url, job.id) if job.state == COMPLETED else None,
        "error_message": job.error["message"] if job.error else None,
    }
    return Notice(
        id=identity, job=job.id, caller=job.caller, event=event, url=ask.callback_url, payload=payload,
        created_at=now, due_at=now, receiver=receiver_of(ask.callback_url), trace=ask.trace,
    )  # fmt: skip


def receiver_of(url: str) -> str:
    """Host and port of a URL: those who share them share one receiver's patience."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def body_of(notice: Notice, links: Links) -> bytes:
    """The bytes to send: what was written down, with a link that is fresh each time."""
    url = notice.payload["video_url"]
    signed = url and links.sign(url, notice.job)
    return msgspec.json.encode({**notice.payload, "video_url": signed})


def headers_of(notice: Notice, body: bytes, secrets: Sequence[str], now: float) -> Mapping[str, str]:
    """The headers that go with these bytes, signed with every secret."""
    at, text = datetime.fromtimestamp(int(now), UTC), body.decode()
    return {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(Webhook(secret).sign(notice.id, at, text) for secret in secrets),
    }


def genuine(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a provider that signs by the same scheme sent this with this secret."""
    try:
        Webhook(secret).verify(body, dict(headers))
    except (WebhookVerificationError, ValueError):  # a body that is signed but no JSON is a ValueError
        return False
    return True


def secrets_of(caller: Caller, pepper: bytes) -> Sequence[str]:
    """What this caller's webhooks are signed with, the newest first: the operator's, or derived from the pepper."""
    hook = caller.hook
    if hook.secrets:
        return [secret.reveal() for secret in hook.secrets]
    return [_derived(caller.id, turn, pepper) for turn in (hook.rotation, hook.rotation - 1) if turn >= 0]


def _derived(caller: str, turn: int, pepper: bytes) -> str:
    told = f"fairlead webhooks of {caller}, secret {turn}".encode()
    return "whsec_" + b64encode(hmac.digest(pepper, told, "sha256")).decode()


class Outcome(Struct, frozen=True, kw_only=True):
    """How one sending went. `reason` is None when it was delivered; `final` says that no other may follow.

    `asked` is for how many seconds the receiver wants to be left alone, None when it did not say.
    """

    reason: str | None = None
    final: bool = False
    asked: float | None = None


def outcome_of(receipt: Receipt) -> Outcome:
    """What an answer means: only 2xx is delivered, and 410 asks for no more (Standard Webhooks)."""
    if 200 <= receipt.status < 300:
        return Outcome(final=True)
    reason = f"the receiver answered with status {receipt.status}"
    return Outcome(reason=reason, final=receipt.status == GONE, asked=receipt.retry_after)


def after(notice: Notice, outcome: Outcome, now: float, wait: float | None) -> Notice:
    """How a webhook stands after a sending. `wait` is what the schedule says, None when it is at its end."""
    over = outcome.final or wait is None
    return replace(
        notice,
        tries=notice.tries + 1,
        reason=outcome.reason,
        due_at=None if over else now + max(wait or 0.0, outcome.asked or 0.0),
        delivered_at=now if outcome.reason is None else None,
    )


def wait_after(tries: int, waits: Sequence[float], dice: float) -> float | None:
    """Seconds from this many tries in vain to the next, spread by chance; None when it was the last."""
    if tries > len(waits):
        return None
    return waits[tries - 1] * (1 - JITTER + 2 * JITTER * dice)
