"""What a process stands on, made as its settings say: transport, stores, limiter, export of spans."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from gateway.clock import SYSTEM
from gateway.config.problems import ConfigError, ConfigProblem
from gateway.config.settings import Settings
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rules import Limiter
from gateway.media.words import Signing
from gateway.media.workshop import Workshop
from gateway.store.media import MediaStore
from gateway.store.media_files import Directory


def stock(transport: str) -> Any:
    """The transport of httpx2 where the settings ask for it; None for our own."""
    if transport != "httpx2":
        return None
    import httpx2  # noqa: PLC0415 - only when it is asked for

    return httpx2.AsyncHTTPTransport(
        limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=1000)
    )


def media(settings: Settings) -> MediaStore:
    """The store of files: the data directory, or a bucket. Raises ConfigError."""
    drafts = settings.data_dir / "media"
    if settings.media_url is None:
        return MediaStore(drafts, Directory(drafts))
    from gateway.store.media_objects import Bucket  # noqa: PLC0415 - megabytes that only buckets need

    try:
        return MediaStore(drafts, Bucket(settings.media_url))
    except ValueError as error:
        raise ConfigError([ConfigProblem("FAIRLEAD_MEDIA_URL", 0, 0, "", str(error))]) from error


def workshop(settings: Settings) -> Workshop:
    """What decodes and signs videos."""
    if settings.signing is None:
        return Workshop()
    certificate, key = map(str, settings.signing)
    return Workshop(Signing(certificate=certificate, key=key))


def limiter(settings: Settings, on_error: Callable[[], str]) -> Limiter:
    """The limiter; `on_error` says how to go on while Redis is away."""
    local = MemoryLimiter()
    if settings.redis_url is None:
        return local
    return RedisLimiter(settings.redis_url.reveal(), local, on_error, replicas=settings.replicas)


def exporter(environment: Mapping[str, str]) -> tuple[Any, Any]:
    """How spans leave, and what ends that; None and None where nobody wants them."""
    wanted = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    if not wanted or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None, None
    from gateway.telemetry.setup import span_export  # noqa: PLC0415 - a tenth of a second nobody else pays

    return span_export(version("fairlead"), SYSTEM)
