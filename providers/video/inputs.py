"""The input of models that each have names of their own for what they are told (fal, Replicate).

The names are data: `wire["input"]` of a row in config/video_models.yaml, or `input_names` of a target in the
routing file, maps our words (the keys of `_told`) to the model's. What is not in the map is not sent.
"""

from providers.types import Json, Target
from providers.video.answers import link_of
from providers.video.fields import Fitted, unsupported
from providers.video.shapes import shape, tier

_COMMON = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "3:2", "2:3")
"""The ratios of a model of which none are written down."""


def model_input(fitted: Fitted, target: Target) -> Json:
    """The input, in the model's own names. Raises UNSUPPORTED for a model whose names nobody wrote down."""
    names = target.video.wire.get("input")
    if not names:
        raise unsupported("model", f"nobody wrote down how `{target.model}` calls its input")
    for media in fitted.request.media:
        if media.role not in names:
            raise unsupported(media.role, f"it takes no {media.role}")
    told = _told(fitted)
    return {name: told[word] for word, name in names.items() if told.get(word) is not None}


def _told(fitted: Fitted) -> dict[str, object]:
    """All that can be told, by our words. Seconds are 5, "5" or "5s"; a picture is a link or a data URI."""
    asked = fitted.request
    found = fitted.shape or (shape(asked.size, {tier(asked.size): _COMMON}) if asked.size else None)
    width, _, height = (asked.size or "").partition("x")
    told: dict[str, object] = {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative_prompt,
        "seed": asked.seed,
        "audio": asked.audio,
        "ratio": found.ratio if found else None,
        "tier": found.tier if found else None,
        "size": asked.size,
        "width": int(width) if width else None,
        "height": int(height) if height else None,
    }
    if asked.seconds is not None:
        whole = int(asked.seconds) if asked.seconds.is_integer() else asked.seconds
        told |= {"seconds": whole, "seconds_text": f"{whole}", "seconds_unit": f"{whole}s"}
    return told | {media.role: link_of(media) for media in asked.media}
