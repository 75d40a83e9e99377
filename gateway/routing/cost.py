"""What a call costs, in whole nano-dollars (pure). Where prices come from is no business of this module.

An unknown price gives None, never 0. A part of the price counts only where something of it was used, so an
embedding model needs no output price. Amounts are rounded up once per call.
"""

from gateway.config.snapshot import NANO, Price
from providers.types import Usage

_MILLION = 1_000_000
_BYTES_PER_100_TOKENS = 350
_SAFETY_PERCENT = 115


def token_estimate(byte_length: int) -> int:
    """Tokens that a text of so many bytes of UTF-8 is taken for, before the provider has counted them.

    3.5 bytes to a token and 15 % on top, for want of a tokenizer (CHAT_WIRE 2.15, 2026-11-20). For admission
    and for streams that ended without usage; never for a bill that has real usage.
    """
    return -(-byte_length * _SAFETY_PERCENT // _BYTES_PER_100_TOKENS)


def estimate(price: Price | None, input_tokens: int, output_tokens: int) -> int | None:
    """What a call of this size would cost when nothing of it is cached."""
    if price is None or price.input is None or (price.output is None and output_tokens):
        return None
    return -(-(input_tokens * price.input + output_tokens * (price.output or 0)) // _MILLION)


def bill(price: Price | None, usage: Usage) -> int | None:
    """What a call cost that used these tokens.

    Cached tokens, and tokens written to a cache, are parts of the input with a price of their own; where that
    is not known they cost what other input costs.
    """
    if price is None:
        return None
    plain = usage.input - usage.cached - usage.cache_write
    cached = price.input if price.cached is None else price.cached
    written = price.input if price.cache_write is None else price.cache_write
    total = 0
    for tokens, each in (
        (plain, price.input),
        (usage.cached, cached),
        (usage.cache_write, written),
        (usage.output, price.output),
    ):
        if tokens > 0:
            if each is None:
                return None
            total += tokens * each
    return -(-total // _MILLION)


def video(price: Price | None, seconds: float) -> int | None:
    """What so many seconds of finished video cost, counted to the millisecond."""
    if price is None or price.per_second is None:
        return None
    return -(-price.per_second * round(seconds * 1000) // 1000)


def dollars(nano: int) -> str:
    """Nano-dollars as a decimal number of dollars without an exponent, as short as it is exact."""
    whole, rest = divmod(nano, NANO)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".")
