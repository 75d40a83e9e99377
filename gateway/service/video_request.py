"""What a client asked for, in one form for every surface, with each field checked (pure).

Here it is decided what a field means and whether its value makes sense at all; whether any target can do it
is decided afterwards, by `videos.py` with `routing/video.py`.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from gateway.errors import InvalidRequest
from gateway.routing.video import Wanted
from gateway.service.video_inputs import Upload, picture, video
from gateway.store.jobs import Job
from providers.types import Json
from providers.video.fields import Words

MAX_PROMPT = 32_000
MAX_TEXT = 2_000
MAX_SECONDS = 3_600.0

FIRST_FRAME, LAST_FRAME, REFERENCE = "first_frame", "last_frame", "reference_image"
SOURCE = "source_video"
MAX_REFERENCES = 9


class Ask(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One video to make, as asked and kept with the job. `seconds` and `size` None until defaults are chosen.

    What was not said is not written, so that a field added tomorrow changes no fingerprint of today.

    `link` is the address of a first frame that the provider fetches itself, `links` are role and address of
    other pictures; `inputs` are the roles of stored files, one each. A remix names the job it came from, the
    target that made it (`home`) and that target's operation; an edit or an extension begins with one of the
    stored files, which is `source_seconds` long, and `seconds` is what it makes anew. `priced` says that only
    targets with a known price may serve it, `strict` only those that need nothing folded into the prompt or
    left out. `tags` and `region` are what a target must have, `draw` is what canaries go by.
    `callback_url` is where its end is told, `base_url` where clients find this gateway; no
    provider sees either.
    """

    surface: str
    model: str
    prompt: str
    operation: str = "generate"
    seconds: float | None = None
    size: str | None = None
    seed: int | None = None
    negative_prompt: str | None = None
    style_preset: str | None = None
    camera_movement: str | None = None
    audio: bool | None = None
    strict: bool = False
    link: str | None = None
    links: Sequence[tuple[str, str]] = ()
    inputs: Sequence[str] = ()
    source_seconds: float = 0.0
    remixed_from: str | None = None
    home: str | None = None
    source: Json | None = None
    priced: bool = False
    tags: Sequence[str] = ()
    region: str = ""
    draw: float | None = None
    callback_url: str | None = None
    base_url: str = ""

    def said(self) -> str:
        """The client's own words for what shall be seen."""
        return "\n".join(filter(None, (self.prompt, self.style_preset, self.camera_movement)))


class Wish(Struct, frozen=True, kw_only=True):
    """An ask with the files that came along, one for each of its inputs, and the names of unknown fields.

    `cache_key` is what its result is found by, where the client lets us.
    """

    ask: Ask
    files: Sequence[Upload] = ()
    ignored: Sequence[str] = ()
    cache_key: bytes | None = None

    def fingerprint(self) -> bytes:
        """The same for every repetition of this request, however it was written down."""
        files = [file.sha256 for file in self.files] or [""]
        return hashlib.sha256(msgspec.json.encode([self.ask, *files])).digest()


class Change(Struct, frozen=True, kw_only=True):
    """A wish to edit or extend a video: `source` is the id of one of ours, or it came along with the wish.

    The ask's model is empty when none was named.
    """

    wish: Wish
    source: str | None = None


class Surface(Struct, frozen=True, kw_only=True):
    """The names one surface gives to the fields. Where there are several, the first one wins."""

    name: str
    seconds: Sequence[str]
    size: Sequence[str]
    picture: Sequence[str]
    model: str | None


VIDEOS = Surface(
    name="videos", seconds=("seconds",), size=("size",), picture=("input_reference",), model="sora-2"
)
GENERATIONS = Surface(
    name="generations",
    seconds=("duration", "seconds"),
    size=("resolution", "size"),
    picture=("image", "image_url", "input_reference"),
    model=None,
)
_TIERS: Mapping[str, str] = {"480p": "854x480", "720p": "1280x720", "1080p": "1920x1080"}
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")


def read(surface: Surface, fields: Mapping[str, object]) -> Wish:
    """The wish in a decoded JSON object or form. Raises InvalidRequest naming field, value and way out."""
    left = {name: value for name, value in fields.items() if value is not None}
    _check_count(left.pop("n", 1))
    pictures = _pictures(surface, left)
    ask = Ask(
        surface=surface.name,
        model=_text(left, "model", 256) or _default_model(surface),
        prompt=_prompt(left),
        seconds=_seconds(surface, left),
        size=_size(surface, left),
        seed=_seed(left),
        negative_prompt=_text(left, "negative_prompt", MAX_TEXT),
        style_preset=_text(left, "style_preset", 100),
        camera_movement=_text(left, "camera_movement", 100),
        audio=_audio(left),
        strict=_strict(left),
        callback_url=_text(left, "callback_url", MAX_TEXT),
        link=next((link for role, link, _ in pictures if link and role == FIRST_FRAME), None),
        links=[(role, link) for role, link, _ in pictures if link and role != FIRST_FRAME],
        inputs=[role for role, _, file in pictures if file],
    )
    return Wish(ask=ask, files=[file for _, _, file in pictures if file], ignored=sorted(left)[:20])


def read_change(operation: str, fields: Mapping[str, object]) -> Change:
    """The edit or extension in a decoded JSON object or form. Raises InvalidRequest."""
    left = {name: value for name, value in fields.items() if value is not None}
    source, file = video(left.pop("video", None))
    if operation == "extend" and "seconds" not in left:
        message = "`seconds` is required: how much longer the video shall be."
        raise InvalidRequest(message, code="missing_required_parameter", param="seconds")
    clip = file.clip if file else None
    length = clip.seconds if clip else None
    ask = Ask(
        surface=VIDEOS.name,
        model=_text(left, "model", 256) or "",
        prompt=_prompt(left),
        operation=operation,
        seconds=_seconds(VIDEOS, left) if operation == "extend" else length,
        size=f"{clip.width}x{clip.height}" if clip else None,
        seed=_seed(left),
        strict=_strict(left),
        callback_url=_text(left, "callback_url", MAX_TEXT),
        inputs=(SOURCE,),
        source_seconds=length or 0.0,
    )
    wish = Wish(ask=ask, files=(file,) if file else (), ignored=sorted(left)[:20])
    return Change(wish=wish, source=source)


def seconds_shown(ask: Ask) -> float:
    """The length of the video as a whole: an extension is as long as what it begins with and what it adds."""
    return (ask.seconds or 0.0) + (ask.source_seconds if ask.operation == "extend" else 0.0)


def ask_of(job: Job) -> Ask:
    """What was asked for, as kept in the job's row."""
    return msgspec.convert(job.request, Ask)


def wanted(ask: Ask, now: float) -> Wanted:
    """What routing must know, at Unix time `now`, of an ask whose length and size are chosen."""
    linked = [FIRST_FRAME] if ask.link else []
    linked += [role for role, _ in ask.links]
    return Wanted(
        seconds=ask.seconds or 0.0,
        size=ask.size or "",
        inputs=(*ask.inputs, *linked),
        linked=bool(linked),
        uploaded=bool(ask.inputs),
        audio=ask.audio,
        seed=ask.seed is not None,
        words=Words(
            prompt=ask.prompt, negative_prompt=ask.negative_prompt,
            style_preset=ask.style_preset, camera_movement=ask.camera_movement,
        ),
        strict=ask.strict,
        home=ask.home,
        priced=ask.priced,
        now=now,
        operation=ask.operation,
        tags=frozenset(ask.tags),
        region=ask.region,
        draw=None if ask.home else ask.draw,
    )  # fmt: skip


def field_name(surface: str, field: str) -> str:
    """What a surface calls one of routing's fields (seconds, size, inputs, ...), or a role of a picture."""
    names = GENERATIONS if surface == GENERATIONS.name else VIDEOS
    own = {
        "seconds": names.seconds[0], "size": names.size[0], "inputs": names.picture[0], "links": names.picture[0],
        FIRST_FRAME: names.picture[0], REFERENCE: "reference_images", SOURCE: "video",
    }  # fmt: skip
    return own.get(field, field)


def read_remix(fields: Mapping[str, object]) -> tuple[str, str | None]:
    """Prompt and callback_url of a remix. Raises InvalidRequest."""
    left = {name: value for name, value in fields.items() if value is not None}
    return _prompt(left), _text(left, "callback_url", MAX_TEXT)


def stored_roles(inputs: Sequence[str]) -> list[str]:
    """The roles under which the files of an ask are kept: its inputs, those that repeat with a number."""
    before = [inputs[:at].count(role) for at, role in enumerate(inputs)]
    return [f"{role}-{count + 1}" if count else role for role, count in zip(inputs, before, strict=True)]


def _default_model(surface: Surface) -> str:
    if surface.model is None:
        raise InvalidRequest("`model` is required.", code="missing_required_parameter", param="model")
    return surface.model


def _prompt(left: dict[str, object]) -> str:
    prompt = _text(left, "prompt", MAX_PROMPT)
    if not prompt:
        code = "missing_required_parameter" if prompt is None else "invalid_value"
        message = f"`prompt` is required: 1 to {MAX_PROMPT} characters of text."
        raise InvalidRequest(message, code=code, param="prompt")
    return prompt


def _text(left: dict[str, object], name: str, longest: int) -> str | None:
    value = left.pop(name, None)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"`{name}` must be a string.", code="invalid_type", param=name)
    if len(value) > longest:
        message = f"`{name}` has {len(value)} characters; at most {longest} are allowed."
        raise InvalidRequest(message, code="string_above_max_length", param=name)
    return value


def _first(left: dict[str, object], names: Sequence[str]) -> tuple[str, object]:
    found = [(name, left.pop(name)) for name in names if name in left]
    return found[0] if found else (names[0], None)


def _pictures(surface: Surface, left: dict[str, object]) -> list[tuple[str, str | None, Upload | None]]:
    """Role, link and file of every picture, of which link or file is given."""
    text = surface is not VIDEOS
    name, first = _first(left, surface.picture)
    given = [(FIRST_FRAME, name, first, text), (LAST_FRAME, "last_frame", left.pop("last_frame", None), True)]
    references = _list(left, "reference_images", MAX_REFERENCES)
    given += [(REFERENCE, f"reference_images[{at}]", one, True) for at, one in enumerate(references)]
    if surface is not VIDEOS and first is None:
        frames = zip((FIRST_FRAME, LAST_FRAME), _list(left, "images", 2), strict=False)
        given += [(role, f"images[{at}]", one, True) for at, (role, one) in enumerate(frames)]
    found = [(role, *picture(name, value, text=text)) for role, name, value, text in given]
    return [(role, link, file) for role, link, file in found if link or file]


def _list(left: dict[str, object], name: str, most: int) -> list[object]:
    value = left.pop(name, None)
    values = value if isinstance(value, list) else [value]
    if len(values) > most:
        message = f"`{name}` holds {len(values)} pictures; at most {most} are allowed."
        raise InvalidRequest(message, code="array_above_max_length", param=name)
    return values


def _seconds(surface: Surface, left: dict[str, object]) -> float | None:
    name, value = _first(left, surface.seconds)
    if value is None:
        return None
    number = _number(value)
    if number is None or not 0 < number <= MAX_SECONDS:
        raise InvalidRequest(
            f'`{name}` is {_shown(value)}; it must be a number of seconds above 0, as in "8".', param=name
        )
    return number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _size(surface: Surface, left: dict[str, object]) -> str | None:
    name, value = _first(left, surface.size)
    if value is None:
        return None
    size = _TIERS.get(value, value) if isinstance(value, str) else ""
    if _SIZE.fullmatch(size) is None:
        raise InvalidRequest(
            f'`{name}` is {_shown(value)}; it must be WIDTHxHEIGHT in pixels, as in "1280x720".', param=name
        )
    return size


def _seed(left: dict[str, object]) -> int | None:
    value = left.pop("seed", None)
    if value is None:
        return None
    number = _number(value)
    if number is None or not number.is_integer() or not 0 <= number < 2**53:
        raise InvalidRequest(f"`seed` is {_shown(value)}; it must be a whole number from 0.", param="seed")
    return int(number)


def _audio(left: dict[str, object]) -> bool | None:
    value = left.pop("audio", None)
    if value is None or isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise InvalidRequest(f"`audio` is {_shown(value)}; it must be true or false.", param="audio")
    return value == "true"


def _strict(left: dict[str, object]) -> bool:
    value = left.pop("on_unsupported", "warn")
    if value not in ("warn", "reject"):
        message = f"`on_unsupported` is {_shown(value)}; it must be warn or reject."
        raise InvalidRequest(message, param="on_unsupported")
    return value == "reject"


def _check_count(value: object) -> None:
    if _number(value) != 1:
        raise InvalidRequest(f"`n` is {_shown(value)}; one video is made per call: send 1.", param="n")


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float):
        return type(value).__name__
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:60] + "..."
