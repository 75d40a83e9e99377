"""What becomes of the fields a provider has no field for: written into its prompt, dropped, or refused.

The policy per field (VIDEO_WIRE 4, 2026-11-20): camera_movement and style_preset go into the prompt as its
first and last sentence, negative_prompt as one more at the end; a seed, a strength, and a wish for silence where
a model always has sound, are left out and told. Length, size, pictures, sound and the length of the prompt are the
router's: a target that cannot do them is not asked. They are checked here once more, since a job may be
older than the configuration.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from providers.errors import ErrorKind, ProviderError
from providers.types import Media, Target, VideoLimits, VideoRequest
from providers.video.shapes import Shape, shape

CAMERA: Mapping[str, str] = {
    "static": "the camera does not move",
    "pan_left": "slow pan to the left",
    "pan_right": "slow pan to the right",
    "tilt_up": "slow tilt upwards",
    "tilt_down": "slow tilt downwards",
    "zoom_in": "slow zoom in",
    "zoom_out": "slow zoom out",
    "dolly_in": "slow dolly forward",
    "dolly_forward": "slow dolly forward",
    "dolly_out": "slow dolly backward",
    "dolly_back": "slow dolly backward",
    "truck_left": "sideways move to the left",
    "truck_right": "sideways move to the right",
    "pedestal_up": "vertical rise",
    "pedestal_down": "vertical descent",
    "crane_up": "crane shot rising",
    "crane_down": "crane shot descending",
    "orbit_left": "orbit around the subject to the left",
    "orbit_right": "orbit around the subject to the right",
    "roll": "slow roll",
    "tracking_shot": "tracking shot that follows the subject",
    "handheld": "handheld with a slight shake",
    "aerial": "aerial shot",
}
"""Every movement that can be asked for, in the words of a prompt."""

_STYLE: Mapping[str, str] = {
    "cinematic": "cinematic, shallow depth of field, soft contrast",
    "anime": "anime, clean line art, flat vivid colours",
    "noir": "film noir, high contrast black and white, hard shadows",
    "documentary": "documentary, natural light, observational camera",
    "vintage": "vintage film, faded colours, visible grain",
    "claymation": "claymation, visible fingerprints, stop motion",
    "watercolor": "watercolour painting, soft edges, paper texture",
    "cyberpunk": "cyberpunk, neon light, rain and haze",
    "pixel_art": "pixel art, limited palette",
    "3d_animation": "3D animation, soft global light",
}


class Words(Struct, frozen=True, kw_only=True):
    """The texts of a request."""

    prompt: str
    negative_prompt: str | None = None
    style_preset: str | None = None
    camera_movement: str | None = None


class Fitted(Struct, frozen=True, kw_only=True):
    """A request as a target can be told it: fields it does not have are None and in `folded` or `dropped`.

    `shape` is its own name for the size; None when none was asked for, or any size goes.
    """

    request: VideoRequest
    shape: Shape | None
    folded: Sequence[str] = ()
    dropped: Sequence[str] = ()

    def media(self, role: str) -> Media | None:
        """The picture or clip of that role."""
        return next((media for media in self.request.media if media.role == role), None)


def fold(words: Words, native: Sequence[str] | None) -> tuple[str, list[str]]:
    """The prompt with everything in it that has no field among `native`, and the names of what went in.

    `native` None is a provider that has them all.
    """
    before, after, folded = "", "", []
    for name, table, lead in (
        ("camera_movement", CAMERA, "Camera"),
        ("style_preset", _STYLE, "Style"),
        ("negative_prompt", {}, "Avoid"),
    ):
        text = (getattr(words, name) or "").strip()
        if not text or native is None or name in native:
            continue
        if name != "negative_prompt":
            text = table.get(text, text.replace("_", " "))
        sentence = f"{lead}: {text.rstrip('.')}."
        folded.append(name)
        before, after = (sentence, after) if lead == "Camera" else (before, f"{after} {sentence}")
    if not folded:
        return words.prompt, folded
    return f"{before} {_ended(words.prompt)}{after}".strip(), folded


def units(text: str) -> int:
    """Length of a text in UTF-16 units, which is how providers count."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def fit(request: VideoRequest, target: Target) -> Fitted:
    """The request as `target` can be told it. Raises UNSUPPORTED, with `param`, for what it cannot make."""
    limits = target.video
    words = Words(
        prompt=request.prompt, negative_prompt=request.negative_prompt,
        style_preset=request.style_preset, camera_movement=request.camera_movement,
    )  # fmt: skip
    prompt, folded = fold(words, limits.fields)
    dropped = []
    if request.seed is not None and limits.fields is not None and "seed" not in limits.fields:
        dropped.append("seed")
    if request.strength is not None:
        dropped.append("strength")
    if request.audio is False and limits.audio == "always":
        dropped.append("audio")
    _check(request, limits, prompt)
    return Fitted(
        request=replace(request, prompt=prompt, **dict.fromkeys([*folded, *dropped])),
        shape=_shape(request, limits),
        folded=folded,
        dropped=dropped,
    )


def ratios(limits: VideoLimits, roles: Sequence[str]) -> Mapping[str, Sequence[str]] | None:
    """The shapes on offer by tier, for a video that starts from these."""
    return limits.image_ratios if roles and limits.image_ratios is not None else limits.ratios


def unsupported(param: str, why: str) -> ProviderError:
    """The refusal of a part of a request that leaves it to another target."""
    return ProviderError(
        ErrorKind.UNSUPPORTED,
        f"This provider cannot make the video: {why}.",
        param=param,
        code="unsupported_parameter",
        sent=False,
    )


def _check(request: VideoRequest, limits: VideoLimits, prompt: str) -> None:
    if request.operation not in limits.operations:
        raise unsupported("operation", f"{request.operation} is not a thing it can be asked for")
    if limits.max_prompt is not None and units(prompt) > limits.max_prompt:
        raise unsupported("prompt", f"it takes prompts of at most {limits.max_prompt} characters")
    if request.audio and limits.audio == "never":
        raise unsupported("audio", "it makes no sound")
    roles = [media.role for media in request.media]
    for role in roles:
        if limits.inputs is not None and role not in limits.inputs:
            raise unsupported(role, f"it takes no {role}")
    if any(media.data for media in request.media) and not limits.uploads:
        raise unsupported("input_reference", "it takes pictures as links only")
    if any(media.url for media in request.media) and not limits.links:
        raise unsupported("input_reference", "it follows no links to pictures")
    for role in limits.needs:
        if role not in roles:
            raise unsupported(role, f"it needs a {role}")


def _shape(request: VideoRequest, limits: VideoLimits) -> Shape | None:
    offered = ratios(limits, [media.role for media in request.media])
    if offered is None or request.size is None:
        return None
    found = shape(request.size, offered)
    if found is None:
        raise unsupported("size", f"it does not make {request.size}")
    return found


def _ended(prompt: str) -> str:
    """The prompt as a sentence that another can follow."""
    text = prompt.rstrip()
    return text if text.endswith((".", "!", "?", "…", '"')) else f"{text}."
