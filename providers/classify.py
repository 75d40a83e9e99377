"""Decides what kind of failure an error body's facts tell of. Tables, and the order they are asked in.

Theory of operation (CHAT_WIRE 2.9, 2026-11-20). From what cannot mislead to what can:

1. the dialect's own codes: a number such as 1302 means something to one provider only; a code may carry
   details behind a dot (`Throttling.RateQuota`), the whole of it is asked first;
2. structure: a list of moderation reasons, a quota that is counted per day;
3. codes and types that mean the same everywhere, and google.rpc status names;
4. words of the message, only where a request status or the lack of any code leaves nothing better: bodies
   echo the prompt, so a word is weak evidence and a bare number such as 429 none;
5. the HTTP status.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from providers.errors import ErrorKind

_AUTH, _QUOTA, _RATE = ErrorKind.AUTHENTICATION, ErrorKind.QUOTA, ErrorKind.RATE_LIMITED
_POLICY, _CONTEXT = ErrorKind.CONTENT_POLICY, ErrorKind.CONTEXT_LENGTH

_CODES: Mapping[str, ErrorKind] = {
    "access_terminated_error": _AUTH,
    "authentication_error": _AUTH,
    "invalid_api_key": _AUTH,
    "api_key_invalid": _AUTH,
    "invalid_authentication_error": _AUTH,
    "permission_error": _AUTH,
    "billing_error": _QUOTA,
    "billing_hard_limit_reached": _QUOTA,
    "contract_spend_limit_reached": _QUOTA,
    "credit_balance_exhausted": _QUOTA,
    "enforced_spend_limit_reached": _QUOTA,
    "exceeded_current_quota_error": _QUOTA,
    "insufficient_quota": _QUOTA,
    "linked_organization_spend_limit_reached": _QUOTA,
    "organization_spend_limit_exceeded": _QUOTA,
    "organization_usage_limit_exceeded": _QUOTA,
    "project_spend_limit_exceeded": _QUOTA,
    "rate_limit_error": _RATE,
    "rate_limit_exceeded": _RATE,
    "rate_limit_reached_error": _RATE,
    "rate_limited": _RATE,
    "request_quota_exceeded": _RATE,
    "slow_down": _RATE,
    "too_many_requests": _RATE,
    "too_many_requests_error": _RATE,
    "overloaded_error": ErrorKind.OVERLOADED,
    "server_is_overloaded": ErrorKind.OVERLOADED,
    "service_tier_capacity_exceeded": ErrorKind.OVERLOADED,
    "context_length_exceeded": _CONTEXT,
    "exceed_context_size_error": _CONTEXT,
    "content_filter": _POLICY,
    "content_policy_violation": _POLICY,
    "data_inspection_failed": _POLICY,
    "invalid_prompt": _POLICY,
    "responsibleaipolicyviolation": _POLICY,
    "deploymentnotfound": ErrorKind.NOT_FOUND,
    "model_not_found": ErrorKind.NOT_FOUND,
    "not_found_error": ErrorKind.NOT_FOUND,
    "resource_does_not_exist": ErrorKind.NOT_FOUND,
    "request_too_large": ErrorKind.UNSUPPORTED,
    "timeout_error": ErrorKind.TIMEOUT,
    # bodies that only one provider sends: MiniMax, then Cloudflare
    "base_resp.1002": _RATE,
    "base_resp.1004": _AUTH,
    "base_resp.1008": _QUOTA,
    "base_resp.1026": _POLICY,
    "base_resp.1027": _POLICY,
    "base_resp.1039": _CONTEXT,
    "errors.5007": ErrorKind.NOT_FOUND,
}

_LONGEST_TEXT = 2000
"""Characters of a message that are searched for words."""

_Statuses = frozenset[int]
_REQUEST: _Statuses = frozenset((400, 413, 422))
_WORDS: tuple[tuple[re.Pattern[str], _Statuses, ErrorKind], ...] = (
    # words in lower case, the statuses they count for besides those of errors without any code, kind
    (
        re.compile(
            r"maximum context length|reduce the length of the messages|exceed context limit"
            r"|prompt is too long|input is too long|input tokens exceed|maximum context limit|too many tokens"
            r"|is longer than the model's context length|exceeds the available context size"
            r"|exceeds the maximum number of tokens allowed|`inputs` tokens \+ `max_new_tokens` must be"
            r"|current length is .*while limit is|maximum input length is .*tokens"
        ),
        _REQUEST,
        _CONTEXT,
    ),
    (
        re.compile(
            r"content management policy|safety system|flagged as potentially violating"
            r"|content_filter_policy|the model produced invalid content"
        ),
        _REQUEST,
        _POLICY,
    ),
    (
        re.compile(r"no such model|model identifier is invalid|model not found"),
        _REQUEST,
        ErrorKind.NOT_FOUND,
    ),
    (re.compile(r"incorrect api key|invalid api key|api key not valid"), _REQUEST, _AUTH),
    (
        re.compile(r"credit balance is too low|insufficient balance|insufficient credits|billing"),
        _REQUEST | {403, 429},
        _QUOTA,
    ),
    (re.compile(r"overloaded|over capacity"), _REQUEST | {503}, ErrorKind.OVERLOADED),
)

_RPC: Mapping[str, ErrorKind] = {
    "RESOURCE_EXHAUSTED": _RATE,
    "UNAUTHENTICATED": _AUTH,
    "PERMISSION_DENIED": _AUTH,
    "NOT_FOUND": ErrorKind.NOT_FOUND,
    "INTERNAL": ErrorKind.UNAVAILABLE,
    "DEADLINE_EXCEEDED": ErrorKind.TIMEOUT,
}
_STATUS: Mapping[int, ErrorKind] = {
    401: _AUTH,
    402: _QUOTA,
    403: _AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    413: ErrorKind.UNSUPPORTED,
    429: _RATE,
    498: _AUTH,
    504: ErrorKind.TIMEOUT,
    524: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}


class Facts(Struct, frozen=True):
    """What an error body says, as text; what it does not say is empty.

    `rpc` is a google.rpc status name, `reason` that of its ErrorInfo, `inner` Azure's inner code.
    `flagged` is true when a moderation lists reasons, `daily` when an allowance per day is used up.
    """

    message: str = ""
    code: str = ""
    type: str = ""
    param: str | None = None
    rpc: str = ""
    reason: str = ""
    inner: str = ""
    flagged: bool = False
    daily: bool = False


def kind_of(facts: Facts, status: int, kinds: Mapping[str, ErrorKind]) -> ErrorKind:
    """The kind of failure these facts tell of; `kinds` maps the dialect's own codes and types, lower case."""
    names = [name.lower() for name in (facts.inner, facts.code, facts.type, facts.reason) if name]
    for name in names:
        kind = kinds.get(name) or kinds.get(name.partition(".")[0])
        if kind is not None:
            return kind
    if facts.flagged:
        return _POLICY
    if facts.daily:
        return _QUOTA
    known = [_CODES[name] for name in names if name in _CODES]
    if known:
        return _QUOTA if _QUOTA in known else known[0]
    return _RPC.get(facts.rpc) or _kind_by_words(facts, status) or _kind_by_status(status)


def _kind_by_words(facts: Facts, status: int) -> ErrorKind | None:
    codeless = not (facts.type or facts.rpc or facts.code) or facts.code == str(status)
    text = facts.message.lower()[:_LONGEST_TEXT]
    for pattern, statuses, kind in _WORDS:
        if (codeless or status in statuses) and pattern.search(text):
            return kind
    return None


def _kind_by_status(status: int) -> ErrorKind:
    if status in _STATUS:
        return _STATUS[status]
    return ErrorKind.INVALID_REQUEST if 400 <= status < 500 else ErrorKind.UNAVAILABLE
