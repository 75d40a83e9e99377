"""The words every adapter and the gateway share. Values only: no I/O, no clock, no configuration.

The canonical form of a request is OpenAI's own JSON, kept whole: `body` maps each top-level field to the
raw JSON the client wrote, so that a field invented tomorrow passes through today and a large `messages`
array is not decoded by anyone who does not need to look inside.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

import msgspec
from msgspec import Raw, Struct

Json: TypeAlias = Mapping[str, Any]
"""A decoded JSON object that its reader must not change."""

Fields: TypeAlias = Mapping[str, Raw]
"""A JSON object of which only the top level was decoded: each value is the JSON text as it was written."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON from a stranger may raise: it is none, its texts are none, or it is nested too deeply."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Secret:
    """A credential that does not leak by accident: prints as `***` and refuses to be serialised."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for an authorization header and for nothing else."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never serialised")


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens one call used. `cached` and `cache_write` are parts of `input`, `reasoning` of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0

    def openai(self) -> dict[str, Any]:
        """The same as OpenAI's `usage` object."""
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": self.cache_write},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


class Quirks(Struct, frozen=True, kw_only=True):
    """How a provider departs from the OpenAI body, as data. Applied in the order of the fields.

    `refuse` names top-level fields without which the answer would be another one (tools, `n`): a request
    that uses one goes to another target. `drop` names fields to leave out and to tell the client of; `quiet`
    fields to leave out without a word (bookkeeping); `rename` maps old to new field names; `roles` maps
    message roles; `force` sets fields whatever the client said; `finish` maps the provider's own finish
    reasons to OpenAI's, or to `error`.
    """

    refuse: Sequence[str] = ()
    drop: Sequence[str] = ()
    quiet: Sequence[str] = ()
    rename: Mapping[str, str] = {}
    roles: Mapping[str, str] = {}
    force: Json = {}
    finish: Mapping[str, str] = {}


class VideoLimits(Struct, frozen=True, kw_only=True):
    """What a video model can make, and what it is told natively: a row of config/video_models.yaml.

    None means anything goes or it is not known.
    `seconds` are the durations offered. `sizes` are the exact `WIDTHxHEIGHT` offered; `edges` the shortest
    edge, the longest short and the longest long one, in pixels, between which any size goes; `ratios` the shapes
    offered by tier (480p, 720p, 1080p, 2k, 4k), in the provider's own words: "16:9", or pixels as in
    "1280:720". `image_ratios` replaces them for a video that starts from a picture.
    `inputs` are the roles of pictures and clips it can start from, `max_inputs` how many at once, `needs` those
    it cannot do without when it generates;
    `links` says whether it follows a link to them itself, `uploads` whether it takes their bytes.
    `audio` is never, always, or switch.
    `fields` names what it has a field of its own for, of seed, negative_prompt, style_preset, camera_movement
    and strength. `max_prompt` is in UTF-16 units. `retires_at` is Unix seconds.
    `operations` are what it can be asked for, of generate, remix, edit and extend.
    `idempotent_submit`: a submit that is repeated with the same token makes one video.
    `wire` holds what only the dialect reads.
    """

    seconds: Sequence[float] | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    sizes: Sequence[str] | None = None
    edges: tuple[int, int, int] | None = None
    ratios: Mapping[str, Sequence[str]] | None = None
    image_ratios: Mapping[str, Sequence[str]] | None = None
    inputs: Sequence[str] | None = None
    max_inputs: int | None = None
    needs: Sequence[str] = ()
    links: bool = True
    uploads: bool = True
    audio: str | None = None
    fields: Sequence[str] | None = None
    max_prompt: int | None = None
    retires_at: float | None = None
    operations: Sequence[str] = ("generate",)
    idempotent_submit: bool = False
    wire: Json = {}


class Target(Struct, frozen=True, kw_only=True):
    """Where one attempt goes: a provider's base URL and credential, and the name it knows the model by.

    `base_url` is the prefix an official SDK of the dialect would be given, without a trailing slash.
    `rules` holds what a chat model accepts (a row of config/models.yaml), `video` what a video model can
    make; empty when nothing is known.
    """

    provider: str
    dialect: str
    base_url: str
    model: str
    credential: Secret | Mapping[str, Secret] | None = None
    headers: Mapping[str, str] = {}
    quirks: Quirks | None = None
    rules: Json = {}
    video: VideoLimits = VideoLimits()


class HttpRequest(Struct, frozen=True, kw_only=True):
    """What to send upstream. The body is bytes, so a retry sends the same bytes again.

    `dropped` names the client's parameters that this upstream could not be told, `folded` those that were
    written into the prompt instead; the client is told so. `operation` is what only the submit of a video
    knows of the operation it begins.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    dropped: Sequence[str] = ()
    folded: Sequence[str] = ()
    operation: Json = {}


class HttpResponse(Struct, frozen=True, kw_only=True):
    """What came back, body read whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class ChatRequest(Struct, frozen=True, kw_only=True):
    """A chat completion as the client sent it, checked at the door.

    `model` is the name the client used; `created` is Unix seconds, read once at the edge;
    `include_usage` says whether the client asked for the usage chunk of a stream. `media` holds the bytes of
    linked pictures by URL, for dialects that cannot pass a link on; it is filled on demand.
    """

    model: str
    body: Fields
    stream: bool = False
    include_usage: bool = False
    created: int = 0
    media: "Mapping[str, Media]" = {}

    def json(self) -> dict[str, Any]:
        """The whole body decoded: a fresh object the caller may change."""
        return decode_fields(self.body)


class Completion(Struct, frozen=True, kw_only=True):
    """A whole answer: `body` is OpenAI JSON for the client, the rest are facts for the gateway."""

    body: bytes
    model: str = ""
    id: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None


class Chunk(Struct, frozen=True, kw_only=True):
    """One streamed piece: `data` is the JSON of one event for the client, the rest are facts.

    Empty `data` means there is nothing to show. `content` is true once the client would notice what it
    got (text, reasoning, a refusal, a tool call, a finish): from there on a failure cannot be hidden.
    """

    data: bytes
    content: bool = False
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str = ""
    id: str = ""


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """An embeddings call as the client sent it, checked at the door."""

    model: str
    body: Fields

    def json(self) -> dict[str, Any]:
        """The whole body decoded: a fresh object the caller may change."""
        return decode_fields(self.body)


class Media(Struct, frozen=True, kw_only=True):
    """One picture or clip that belongs to a video request: either `data` or `url` is given.

    `role` is one of first_frame, last_frame, reference_image, reference_video, source_video. `mime` was read from the
    bytes themselves, never taken from what the client claimed.
    """

    role: str
    mime: str
    data: bytes = b""
    url: str = ""


class VideoRequest(Struct, frozen=True, kw_only=True):
    """One video to make, independent of the surface it was asked through.

    `seconds` is the wanted duration, `size` is `WIDTHxHEIGHT` in pixels; None leaves it to the provider.
    `audio` says whether it is to have sound. For `operation` `remix`, `source` is the provider's own
    operation of the video to start from; `edit` and `extend` begin with the `source_video` among the media, and
    `seconds` is how much longer it shall be.
    `strength` is how much of a video that is drawn over becomes new, above 0 to 1.
    `token` is ours and the same for every submit of one attempt, for providers that deduplicate. `hook` is where
    the provider may tell that something has changed; empty when it cannot reach us.
    """

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
    strength: float | None = None
    media: Sequence[Media] = ()
    source: Json | None = None
    token: str = ""
    hook: str = ""


class WorkerModel(Struct, frozen=True, kw_only=True):
    """What a worker can make with one of its models.

    `rate` is seconds of work per megapixel and second of video, None before it has made any. Of a video that is
    drawn over it takes a part of that: as much as becomes new, `strength` when the request does not say; None where
    none is drawn over.
    """

    limits: VideoLimits
    rate: float | None = None
    strength: float | None = None


class WorkerStatus(Struct, frozen=True, kw_only=True):
    """What a worker tells of itself: its models by name, and how busy it is.

    `free_slots` is how many jobs it would begin at once; `free_in` the seconds until all it has accepted is
    done, None when it cannot say.
    """

    models: Mapping[str, WorkerModel]
    free_slots: int
    free_in: float | None = None


class VideoOutput(Struct, frozen=True, kw_only=True):
    """What was really rendered, as far as the provider tells; `gpu_seconds` is how long a GPU worked on it."""

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    seconds: float | None = None
    has_audio: bool | None = None
    gpu_seconds: float | None = None


class VideoUpdate(Struct, frozen=True, kw_only=True):
    """What a provider's answer says of an operation.

    `state` is one of queued, in_progress, completed, failed, gone (the provider does not know it).
    `operation` is opaque JSON that polls, fetches and cancels the operation; None when nothing changed.
    `progress` is 0 to 100 or None when not told; `retry_after` seconds until the next poll is worth it.
    `code` and `message` say why it failed; `blamed` is true when the request itself is at fault.
    `follow` says that the rest is told where the operation now points: it is worth asking at once.
    `cost` is what the provider says it charges, in nano-dollars; None when it does not say.
    """

    state: str
    operation: Json | None = None
    progress: int | None = None
    output: VideoOutput | None = None
    code: str = ""
    message: str = ""
    blamed: bool = False
    retry_after: float | None = None
    follow: bool = False
    cost: int | None = None


class VideoSighting(Struct, frozen=True, kw_only=True):
    """An operation in a provider's list that a submit may have begun. `created_at` is Unix seconds.

    `certain` says that what tells one video from another was listed and is the same; an operation of which that
    is not told yet is a sighting without it.
    """

    operation: Json
    created_at: float
    certain: bool = True


def decode_fields(fields: Fields) -> dict[str, Any]:
    """A JSON object of raw fields, decoded to the bottom; a fresh object."""
    return {name: _decode(raw) for name, raw in fields.items()}


def encode(value: object) -> bytes:
    """JSON text of `value`; raw fields are written as they stand."""
    return _encode(value)
