"""What the gateway and its media processes say to each other: JSON on standard input and output."""

from collections.abc import Mapping, Sequence

from msgspec import Struct


class Stills(Struct, frozen=True, kw_only=True):
    """A WebP and a JPEG, see `stills.py`."""

    thumbnail: bytes
    spritesheet: bytes


class Credentials(Struct, frozen=True, kw_only=True):
    """What the content credentials of a file say of it; of several manifests the active one, which is the last.

    `intact`: the file and the claim are as they were signed. `trusted`: the signer leads to one of the roots that were
    named, None when none were. `facts` are those of a claim of ours, `made_from` the titles of what went in, `problems`
    C2PA's own codes. Texts may be empty.
    """

    intact: bool
    trusted: bool | None = None
    issuer: str = ""
    name: str = ""
    generator: str = ""
    signed_at: str = ""
    actions: Sequence[str] = ()
    facts: Mapping[str, str | int] = {}
    made_from: Sequence[str] = ()
    problems: Sequence[str] = ()


class Claim(Struct, frozen=True, kw_only=True):
    """What our own manifest says of a video. `source` is IPTC's word for how it came to be; `facts` are our own.

    `made_from` is the title of the video that it began with, where that is at hand.
    """

    title: str
    agent: str
    source: str
    facts: Mapping[str, str | int]
    made_from: str = ""


class Signing(Struct, frozen=True, kw_only=True):
    """Paths of the PEM files to sign with: the chain, the signer first, and the signer's private key."""

    certificate: str
    key: str


class Order(Struct, frozen=True, kw_only=True):
    """What a process shall do: `stills` (needs `mime`), `read`, or `sign` (needs the rest).

    `ingredient` is where the video lies that the claim calls `made_from`.
    """

    what: str
    path: str
    mime: str = ""
    target: str = ""
    ingredient: str = ""
    claim: Claim | None = None
    signing: Signing | None = None


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it: one of the results, or why there is none."""

    failure: str = ""
    stills: Stills | None = None
    credentials: Credentials | None = None
