"""Settings of the process: from the environment only, read once at the start."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from providers.types import Secret

DEFAULT_CONFIG = Path("config/fairlead.yaml")


class Settings(Struct, frozen=True, kw_only=True):
    """`FAIRLEAD_CONFIG`, `FAIRLEAD_DATA_DIR`, `FAIRLEAD_REDIS_URL`, `FAIRLEAD_DATABASE_URL`, `FAIRLEAD_KEY_PEPPER`.

    `replicas` (`FAIRLEAD_REPLICAS`) is how many gateway processes share the Redis: while it is away each allows
    its share of every limit. `transport` is `keepalive` (ours) or `httpx2` (the stock one), from `FAIRLEAD_TRANSPORT`.
    """

    config: Path
    data_dir: Path
    database_url: Secret
    pepper: Secret
    redis_url: Secret | None = None
    transport: str = "keepalive"
    replicas: int = 1


def read(environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """The settings in force. Makes the data directory and, when none is given, a pepper that stays in it."""
    data_dir = Path(environment.get("FAIRLEAD_DATA_DIR") or ".fairlead")
    data_dir.mkdir(parents=True, exist_ok=True)
    redis_url = environment.get("FAIRLEAD_REDIS_URL")
    database = environment.get("FAIRLEAD_DATABASE_URL") or f"sqlite+aiosqlite:///{data_dir / 'fairlead.db'}"
    return Settings(
        config=config or Path(environment.get("FAIRLEAD_CONFIG") or DEFAULT_CONFIG),
        data_dir=data_dir,
        database_url=Secret(database),
        pepper=Secret(environment.get("FAIRLEAD_KEY_PEPPER") or kept_secret(data_dir / "pepper")),
        redis_url=Secret(redis_url) if redis_url else None,
        transport=environment.get("FAIRLEAD_TRANSPORT") or "keepalive",
        replicas=int(environment.get("FAIRLEAD_REPLICAS") or 1),
    )


def kept_secret(path: Path, prefix: str = "") -> str:
    """The secret in this file; made and written for the owner alone when there is none yet."""
    try:
        kept = path.read_text().strip()
    except FileNotFoundError:
        kept = ""
    if not kept:
        kept = prefix + secrets.token_urlsafe(32)
        path.touch(mode=0o600)
        path.write_text(kept + "\n")
    return kept
