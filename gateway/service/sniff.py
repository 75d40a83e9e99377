"""Tells pictures and videos by their first bytes, whatever name or type somebody gave them (pure)."""

PICTURES = frozenset(("image/png", "image/jpeg", "image/webp"))
VIDEOS = frozenset(("video/mp4", "video/webm"))
HEAD = 16
"""How many bytes are enough to tell."""

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "video/mp4": "mp4",
    "video/webm": "webm",
}


def media_type(head: bytes) -> str | None:
    """The media type of a file that begins with these bytes; None when it is none of those we know."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm"
    return None
