"""Settings of the process: from the environment only, read once at the start."""

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from gateway.config.problems import ConfigError, ConfigProblem
from providers.types import Secret

DEFAULT_CONFIG = Path("config/fairlead.yaml")

MAX_IN_FLIGHT = 2000
"""By default: streams of this number take about 100 MB, and 4000 file descriptors."""

_REDIS_OPTION = r"socket_timeout=(?=[\d.]*[1-9])\d*\.?\d+|ssl_ca_certs=[^\s&]+|ssl_cert_reqs=(none|required)"
_FORMS: Mapping[str, tuple[str, str]] = {
    # variable: what its value must look like, for us and for a person
    "FAIRLEAD_ADMIN_KEY": (r"\S{16,}", "at least 16 characters without spaces"),
    "FAIRLEAD_DATABASE_URL": (
        r"(sqlite\+aiosqlite|postgresql\+psycopg)://.+",
        "sqlite+aiosqlite:///path or postgresql+psycopg://user:password@host:port/name",
    ),
    "FAIRLEAD_MAX_IN_FLIGHT": (r"[1-9]\d{0,5}", "a whole number from 1 to 999999"),
    "FAIRLEAD_MEDIA_URL": (
        r"(s3|gs|az)://[^\s/?#@]+(/[^\s?#]*)?",
        "s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
    ),
    "FAIRLEAD_REDIS_URL": (
        rf"rediss?://[^\s/?]+(/\d*)?(\?(({_REDIS_OPTION})&?)*)?",
        "redis://user:password@host:port/number, or rediss://..., with socket_timeout=SECONDS and the like after a ?",
    ),
    "FAIRLEAD_REPLICAS": (r"[1-9]\d{0,3}", "a whole number from 1 to 9999"),
    "FAIRLEAD_TRANSPORT": (r"keepalive|httpx2", "keepalive or httpx2"),
}


_SIGNING = ("FAIRLEAD_C2PA_CERTIFICATE", "FAIRLEAD_C2PA_KEY")


class Settings(Struct, frozen=True, kw_only=True):
    """`FAIRLEAD_CONFIG`, `FAIRLEAD_DATA_DIR`, `FAIRLEAD_REDIS_URL`, `FAIRLEAD_DATABASE_URL`, `FAIRLEAD_KEY_PEPPER`.

    `admin_key` (`FAIRLEAD_ADMIN_KEY`) opens `/admin`, which is closed while there is none.

    `replicas` (`FAIRLEAD_REPLICAS`) is how many gateway processes share the Redis: while it is away each allows
    its share of every limit. `max_in_flight` (`FAIRLEAD_MAX_IN_FLIGHT`) is how many requests this process serves at
    once; what is above is refused with 503.

    `media_url` (`FAIRLEAD_MEDIA_URL`) is the bucket that finished files lie in; without one they stay in the data
    directory.

    `signing` (`FAIRLEAD_C2PA_CERTIFICATE` and `FAIRLEAD_C2PA_KEY`) are the PEM files that videos are signed with: the
    chain, and the private key. None signs nothing.

    `transport` is `keepalive` (ours) or `httpx2` (the stock one), from `FAIRLEAD_TRANSPORT`.
    """

    config: Path
    data_dir: Path
    database_url: Secret
    pepper: Secret
    admin_key: Secret | None = None
    redis_url: Secret | None = None
    media_url: str | None = None
    signing: tuple[Path, Path] | None = None
    transport: str = "keepalive"
    replicas: int = 1
    max_in_flight: int = MAX_IN_FLIGHT


def read(environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """The settings in force. Makes the data directory and, when none is given, a pepper that stays in it.

    Raises ConfigError naming every variable that makes no sense; values are not repeated: they hold passwords.
    """
    data_dir = Path(environment.get("FAIRLEAD_DATA_DIR") or ".fairlead")
    _check(environment, data_dir)
    redis_url = environment.get("FAIRLEAD_REDIS_URL")
    admin_key = environment.get("FAIRLEAD_ADMIN_KEY")
    database = environment.get("FAIRLEAD_DATABASE_URL") or f"sqlite+aiosqlite:///{data_dir / 'fairlead.db'}"
    return Settings(
        config=config or Path(environment.get("FAIRLEAD_CONFIG") or DEFAULT_CONFIG),
        data_dir=data_dir,
        database_url=Secret(database),
        pepper=Secret(environment.get("FAIRLEAD_KEY_PEPPER") or kept_secret(data_dir / "pepper")),
        admin_key=Secret(admin_key) if admin_key else None,
        redis_url=Secret(redis_url) if redis_url else None,
        media_url=environment.get("FAIRLEAD_MEDIA_URL") or None,
        signing=_signing(environment),
        transport=environment.get("FAIRLEAD_TRANSPORT") or "keepalive",
        replicas=int(environment.get("FAIRLEAD_REPLICAS") or 1),
        max_in_flight=int(environment.get("FAIRLEAD_MAX_IN_FLIGHT") or MAX_IN_FLIGHT),
    )


def _check(environment: Mapping[str, str], data_dir: Path) -> None:
    wrong = [
        ConfigProblem(name, 0, 0, "", f"must be {words}")
        for name, (form, words) in _FORMS.items()
        if environment.get(name) and not re.fullmatch(form, environment[name])
    ]
    wrong += [ConfigProblem(name, 0, 0, "", words) for name, words in _bad_signing(environment)]
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        wrong.append(ConfigProblem("FAIRLEAD_DATA_DIR", 0, 0, "", f"{data_dir}: {error.strerror}"))
    if wrong:
        raise ConfigError(wrong)


def _signing(environment: Mapping[str, str]) -> tuple[Path, Path] | None:
    certificate, key = (environment.get(name) for name in _SIGNING)
    return (Path(certificate).absolute(), Path(key).absolute()) if certificate and key else None


def _bad_signing(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables of the signing that make no sense, with what is wrong."""
    for name, other in (_SIGNING, _SIGNING[::-1]):
        given = environment.get(name)
        if given and not environment.get(other):
            yield other, f"must be set too: {name} is, and nothing can be signed with one of them"
        if given and not os.access(given, os.R_OK):
            yield name, f"{given} is no file that can be read"


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
