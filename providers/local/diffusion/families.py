"""Which pipeline classes of diffusers make up one kind of model, and what it was trained on.

The key is the `_class_name` of a pipeline's `model_index.json`; `+name` behind it asks that the index also
sets `name`. Classes of one row share their parts, so that a second one costs no memory. Class names and call
signatures: diffusers 0.42.1, read 2026-11-21; frame rates and lengths are those of the models' own examples.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Family(Struct, frozen=True, kw_only=True):
    """How a kind of model is asked.

    `words`, `picture` and `footage` name the pipeline class that starts from a prompt alone, from a picture,
    and from a video to draw over; None when the model cannot. `frames` is the longest clip it was trained
    on. A clip goes on from the last `tail` frames of what there is; more than one only where `conditions`
    says that pictures and videos are given as LTX's conditions. `last` says whether it can be told how to
    end. `exact` names parts that are kept in float32 whatever the rest is in. `shared` says whether several
    devices can make a clip together: diffusers gives LTX's attention a mask for all heads, where each device
    has some.
    """

    fps: int
    frames: int
    size: str
    words: str | None = None
    picture: str | None = None
    footage: str | None = None
    tail: int = 1
    conditions: bool = False
    last: bool = False
    exact: tuple[str, ...] = ()
    shared: bool = False
    experimental: bool = False


_WAN = {"fps": 16, "frames": 81, "size": "832x480", "exact": ("vae",), "shared": True}
_LTX = {"fps": 24, "frames": 161, "size": "704x512"}
_HUNYUAN = {"fps": 24, "frames": 129, "size": "1280x720"}
_HUNYUAN15 = {"fps": 24, "frames": 121, "size": "848x480"}
_COG = {"fps": 8, "frames": 49, "size": "720x480"}
_SKYREELS = {"fps": 24, "frames": 97, "size": "960x544", "exact": ("vae",)}

_ROWS: Mapping[str, Mapping[str, Any]] = {
    # Wan 2.1; then 2.2: A14B, whose second transformer the class for footage does not know, and TI2V 5B
    "WanPipeline": _WAN | {"words": "WanPipeline", "footage": "WanVideoToVideoPipeline"},
    "WanPipeline+boundary_ratio": _WAN | {"words": "WanPipeline"},
    "WanPipeline+expand_timesteps": _WAN
    | {"fps": 24, "frames": 121, "size": "1280x704"}
    | {"words": "WanPipeline", "picture": "WanImageToVideoPipeline", "footage": "WanVideoToVideoPipeline"},
    "WanImageToVideoPipeline": _WAN | {"picture": "WanImageToVideoPipeline", "last": True},
    # LTX up to 0.9.1; from 0.9.5 on; 2
    "LTXPipeline": _LTX | {"words": "LTXPipeline", "picture": "LTXImageToVideoPipeline"},
    "LTXImageToVideoPipeline": _LTX | {"words": "LTXPipeline", "picture": "LTXImageToVideoPipeline"},
    "LTXConditionPipeline": _LTX
    | dict.fromkeys(("words", "picture", "footage"), "LTXConditionPipeline")
    | {"conditions": True, "tail": 17, "last": True},
    "LTX2Pipeline": _LTX
    | {"frames": 121, "size": "768x512", "words": "LTX2Pipeline", "picture": "LTX2ImageToVideoPipeline"},
    "HunyuanVideoPipeline": _HUNYUAN | {"words": "HunyuanVideoPipeline"},
    "HunyuanVideoImageToVideoPipeline": _HUNYUAN | {"picture": "HunyuanVideoImageToVideoPipeline"},
    "HunyuanVideo15Pipeline": _HUNYUAN15 | {"words": "HunyuanVideo15Pipeline"},
    "HunyuanVideo15ImageToVideoPipeline": _HUNYUAN15 | {"picture": "HunyuanVideo15ImageToVideoPipeline"},
    "CogVideoXPipeline": _COG | {"words": "CogVideoXPipeline", "footage": "CogVideoXVideoToVideoPipeline"},
    "CogVideoXImageToVideoPipeline": _COG | {"picture": "CogVideoXImageToVideoPipeline"},
    "SkyReelsV2Pipeline": _SKYREELS | {"words": "SkyReelsV2Pipeline"},
    "SkyReelsV2ImageToVideoPipeline": _SKYREELS | {"picture": "SkyReelsV2ImageToVideoPipeline", "last": True},
    "SkyReelsV2DiffusionForcingPipeline": _SKYREELS
    | {
        "words": "SkyReelsV2DiffusionForcingPipeline",
        "picture": "SkyReelsV2DiffusionForcingImageToVideoPipeline",
    },
}

FAMILIES: Mapping[str, Family] = {name: Family(**row) for name, row in _ROWS.items()}


def family_of(index: Mapping[str, Any]) -> Family | None:
    """The row of a `model_index.json`: the most special one that fits. None when the class has none."""
    name = index["_class_name"]
    fitting = [key for key in FAMILIES if key.startswith(f"{name}+") and index.get(key.partition("+")[2])]
    key = fitting[0] if fitting else name
    return FAMILIES.get(key)


def family_by_signature(name: str, parameters: Mapping[str, Any]) -> Family | None:
    """A row for a class that has none, read off the parameters of its call; None when it makes no videos.

    `parameters` maps names to defaults, None for those that have none. What cannot be read off, the frame
    rate above all, is a guess: the model is marked as experimental.
    """
    lengths = [parameters[one] for one in ("num_frames", "frames") if one in parameters]
    if "prompt" not in parameters or not (lengths or "video" in parameters):
        return None
    starts = "picture" if "image" in parameters else "footage" if not lengths else "words"
    return Family(
        fps=24,
        frames=next((length for length in lengths if isinstance(length, int)), 49),
        size=f"{parameters.get('width') or 832}x{parameters.get('height') or 480}",
        words=name if starts == "words" else None,
        picture=name if starts == "picture" else None,
        footage=name if starts == "footage" else None,
        last="last_image" in parameters,
        experimental=True,
    )
