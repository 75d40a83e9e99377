"""The composition root: the only place that picks implementations and says what runs beside the requests."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from random import random
from typing import Any

from litestar import Litestar, Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.api import (
    admin,
    batches,
    characters,
    explain,
    files,
    generations,
    hooks,
    openapi,
    video_models,
    video_views,
    videos,
)
from gateway.api.auth import authenticate
from gateway.api.body import chat_wish, embedding_wish
from gateway.api.chat import Door, Endpoint
from gateway.api.edge import App, Edge
from gateway.api.errors import EXCEPTION_HOOKS
from gateway.api.gate import Gate
from gateway.api.models import model_list, one_model
from gateway.api.observe import observed
from gateway.api.render import error_body
from gateway.api.system import routes as system_routes
from gateway.clock import SYSTEM
from gateway.config.live import Live
from gateway.config.problems import ConfigError, ConfigProblem
from gateway.config.settings import Settings
from gateway.config.snapshot import Caller
from gateway.limits.memory import MemoryLimiter
from gateway.limits.redis_store import RedisLimiter
from gateway.limits.rests import SharedRests
from gateway.limits.rules import Limiter
from gateway.media.words import Signing
from gateway.media.workshop import Workshop
from gateway.routing import health
from gateway.service.admission import Admission, JobAdmission
from gateway.service.batch_ports import BatchParts, Faces
from gateway.service.batch_runner import BatchRunner
from gateway.service.batches import Batches
from gateway.service.board import Board
from gateway.service.books import Books
from gateway.service.characters import Characters
from gateway.service.chat import Chat
from gateway.service.files import Files
from gateway.service.hearsay import Hearsay
from gateway.service.hooks import Hooks
from gateway.service.keys import KeyRing
from gateway.service.moderation import Moderator
from gateway.service.outputs import Outputs
from gateway.service.pictures import Pictures
from gateway.service.runner import Runner
from gateway.service.shadows import Shadows
from gateway.service.story import Parts
from gateway.service.tokens import Tokens
from gateway.service.video_links import Links
from gateway.service.video_metrics import JobMetrics
from gateway.service.video_ports import VideoParts
from gateway.service.video_results import Results
from gateway.service.video_submit import Tools
from gateway.service.videos import Videos
from gateway.store import keys as key_rows
from gateway.store import ledger
from gateway.store.engine import Database
from gateway.store.media import MediaStore
from gateway.store.media_files import Directory
from gateway.store.migrate import migrate
from gateway.telemetry import names
from gateway.telemetry.log import Lines
from gateway.telemetry.metrics import Gauge, Metrics
from gateway.telemetry.record import Call
from gateway.telemetry.recorder import Recorder, sampling_ratio
from gateway.transport.client import Upstream
from gateway.transport.dial import Dialer
from gateway.transport.fetch import Fetcher
from gateway.transport.post import Poster
from providers.video import VIDEO, VIDEO_CANCEL, VIDEO_INLINE, VIDEO_RECALL

log = logging.getLogger("fairlead.app")

KEY_REFRESH_SECONDS = 2.0
"""How soon a key that the command line made or revoked counts in every process."""
_WISHES = {"/v1/chat/completions": chat_wish, "/v1/embeddings": embedding_wish}
_SOURCES = ("own", "learnt")
_STATES = {"closed": 0, "half_open": 1, "open": 2, "throttled": 3}


class Gateway:
    """One gateway process, put together. `asgi` is what a server runs; its lifespan starts and stops the rest."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self.draining = False
        self._admin_key = settings.admin_key
        self._redis_url = settings.redis_url
        self.metrics = Metrics()
        self.gate = Gate(settings.max_in_flight, partial(self.metrics.count, names.OVERLOADS))
        self._board = Board()
        self.live = Live(settings.config, environment, settings.data_dir, self._reloaded)
        self._lines = Lines()
        self._database = Database(settings.database_url.reveal())
        self._upstream = Upstream(stock=_stock(settings.transport))
        self._fetcher = Fetcher(Dialer(None))
        self._limiter = _limiter(settings, lambda: self.live.current.on_store_error)
        self._books = Books(self._write_ledger)
        self._shadows = Shadows(self._upstream, self._board, self._books, SYSTEM, self.metrics.attempted)
        self._admission = Admission(self._limiter, self._spent, SYSTEM)
        self._pepper = settings.pepper.reveal().encode()
        self._ring = KeyRing(self.live, self._pepper)
        self._links = Links(self._pepper)
        export, self._close_export = _exporter(environment)
        self._recorder = Recorder(
            self.metrics, self._lines, SYSTEM, ratio=sampling_ratio(environment), export=export
        )
        parts = self._video_parts(_media(settings), _workshop(settings))
        self._runner = self._video_runner(parts)
        self._videos = Videos(parts, self._runner.wake)
        self._characters = Characters(parts)
        self._hooks = Hooks(parts, self._runner.wake)
        self._door = self._chat_door()
        self._files = Files(self._database, parts.media)
        self._batch_runner = BatchRunner(self._batch_parts(parts.media))
        self._batches = Batches(self._database, self._batch_runner.wake)
        self.metrics.gauges = self._gauges()
        self.asgi = self._assemble()

    # -- the request side

    def _chat_door(self) -> Door:
        parts = Parts(
            live=self.live,
            upstream=self._upstream,
            admission=self._admission,
            board=self._board,
            books=self._books,
            clock=SYSTEM,
            outputs=Outputs(),
            pictures=Pictures(self._fetcher),
            shadows=self._shadows,
        )
        return Door(chat=Chat(parts), ring=self._ring, recorder=self._recorder, clock=SYSTEM)

    def _video_parts(self, media: MediaStore, workshop: Workshop) -> VideoParts:
        admission = JobAdmission(
            self._admission,
            self._limiter,
            SYSTEM,
            unknown_price_ok=lambda: self.live.current.on_unknown_price == "allow",
        )
        return VideoParts(
            database=self._database,
            media=media,
            workshop=workshop,
            snapshot=lambda: self.live.current,
            admission=admission,
            links=self._links,
            poster=Poster(Dialer(None)),
            fetcher=self._fetcher,
            moderator=Moderator(self._upstream),
            results=Results(self._pepper),
            secrets_of=self._ring.hook_secrets,
            observe=JobMetrics(self.metrics, self._recorder),
        )

    def _video_runner(self, parts: VideoParts) -> Runner:
        tools = Tools(
            upstream=self._upstream,
            fetcher=self._fetcher,
            adapters=VIDEO,
            cancels=VIDEO_CANCEL,
            recalls=VIDEO_RECALL,
            inlines=VIDEO_INLINE,
            snapshot=parts.snapshot,
            media=parts.media,
            workshop=parts.workshop,
            tokens=Tokens(self._upstream, SYSTEM),
            links=self._links,
            dice=random,
        )
        return Runner(parts, tools)

    def _batch_parts(self, media: MediaStore) -> BatchParts:
        return BatchParts(
            database=self._database,
            media=media,
            snapshot=lambda: self.live.current,
            caller_of=self._ring.owner,
            chat=self._door.chat,
            videos=self._videos,
            recorder=self._recorder,
            faces=Faces(wishes=_WISHES, error=error_body, video=video_views.video),
            count=self.metrics.count,
        )

    def _assemble(self) -> App:
        direct: dict[str, App] = {}
        for path, read in _WISHES.items():
            direct[path] = Endpoint(self._door, path, read)
        ordinary = Litestar(
            route_handlers=[
                *self._model_routes(),
                *video_models.routes(lambda: self.live.current, self._caller),
                *videos.routes(self._videos, self._caller),
                *characters.routes(self._characters, self._caller),
                *hooks.routes(self._hooks),
                *generations.routes(self._videos, self._caller),
                *files.routes(self._files, self._caller),
                *batches.routes(self._batches, self._caller),
                *explain.routes(self._explaining(), self._caller),
                *admin.routes(self._admin_key, self.live, self._board),
                *openapi.ROUTES,
                *system_routes(self.metrics, self._why_not_ready),
            ],
            exception_handlers=EXCEPTION_HOOKS,
            lifespan=[self._lifespan],
            openapi_config=openapi.CONFIG,
            logging_config=None,
        )
        return Edge(observed(ordinary, self._recorder), direct)  # type: ignore[arg-type] # same protocol

    def _explaining(self) -> explain.Explaining:
        return explain.Explaining(live=self.live, board=self._board, admission=self._admission, clock=SYSTEM)

    def _caller(self, request: Request[Any, Any, Any]) -> Caller:
        caller = authenticate(self._ring, dict(request.scope["headers"]))
        call = request.scope.get("fairlead_call")  # set by api/observe.py
        if isinstance(call, Call):
            call.key_id, call.organisation = caller.id, caller.organisation
        return caller

    def _model_routes(self) -> Sequence[HTTPRouteHandler]:
        @get("/v1/models", summary="List the models this key may use")
        async def list_models(request: Request[Any, Any, Any]) -> dict[str, Any]:
            return model_list(self.live.current, self._caller(request))

        @get("/v1/models/{model:path}", summary="Retrieve one model")
        async def retrieve_model(request: Request[Any, Any, Any], model: FromPath[str]) -> dict[str, Any]:
            return one_model(self.live.current, self._caller(request), model.removeprefix("/"))

        return (list_models, retrieve_model)

    # -- what runs beside the requests

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Litestar) -> AsyncIterator[None]:
        await migrate(self._database)
        await self._load_keys()
        beside = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("follow the routing file", self.live.follow()),
                ("renew leases", self._admission.keep_alive()),
                ("refresh keys", self._refresh_keys()),
                ("run video jobs", self._runner.run()),
                ("run batches", self._batch_runner.run()),
                *self._hearsay(),
            )
        ]
        writing = asyncio.create_task(self._books.keep(), name="write the ledger")
        try:
            yield
        finally:
            await asyncio.gather(self._batch_runner.stop(), self._runner.stop())
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._shadows.stop()
            self._books.stop()
            await writing
            await self._upstream.close()
            await self._limiter.close()
            await self._database.close()
            self._lines.flush()
            if self._close_export is not None:
                await asyncio.to_thread(self._close_export)

    def _hearsay(self) -> Sequence[tuple[str, Coroutine[Any, Any, None]]]:
        if self._redis_url is None:
            return ()
        hearsay = Hearsay(self._board, SharedRests(self._redis_url.reveal()), self._heard)
        return (("tell of rests", hearsay.keep()),)

    async def _refresh_keys(self) -> None:
        while True:
            await asyncio.sleep(KEY_REFRESH_SECONDS)
            try:
                await self._load_keys()
            except Exception:  # the keys in memory stay good while the database is away
                log.exception("the keys could not be read; those in memory stay in force")

    async def _load_keys(self) -> None:
        async with self._database.read() as transaction:
            self._ring.replace_stored(await key_rows.find_all(transaction))

    async def _write_ledger(self, batch: Sequence[ledger.Entry]) -> None:
        async with self._database.write() as transaction:
            await ledger.add(transaction, batch)

    async def _spent(self, whose: Mapping[str, str], since: float) -> int:
        await self._books.flush()
        async with self._database.read() as transaction:
            return await ledger.spent(transaction, whose, since)

    # -- what is told

    def _reloaded(self, result: str, _problems: Sequence[ConfigProblem]) -> None:
        self.metrics.count(names.RELOADS, result)
        self._board.reconsider()

    def _heard(self, target: str) -> None:
        if any(one.id == target for route in self.live.current.routes.values() for one in route.targets):
            self.metrics.show(target)  # a name that a client made up has no gauges

    def _why_not_ready(self) -> str | None:
        return "draining" if self.draining else None

    def _gauges(self) -> dict[str, Callable[[], Gauge]]:
        known = self._board.known

        def states() -> Gauge:
            now = SYSTEM.monotonic()
            return [((key,), _STATES[health.state(seen, now)]) for key, seen in known.items()]

        def rests() -> Gauge:
            now = SYSTEM.monotonic()
            shut = [(key, seen) for key, seen in known.items() if seen.shut and now < seen.shut_until]
            return [
                ((key, str(seen.shut), _SOURCES[seen.heard]), seen.shut_until - now) for key, seen in shut
            ]

        return {
            names.TARGET_STATE: states,
            names.TARGET_IN_FLIGHT: lambda: [((key,), seen.in_flight) for key, seen in known.items()],
            names.TARGET_SPEED: lambda: [((key,), seen.speed or 0.0) for key, seen in known.items()],
            names.TARGET_REST: rests,
            names.TARGET_LATENCY: lambda: [((key,), seen.latency or 0.0) for key, seen in known.items()],
            names.IN_FLIGHT_LIMIT: lambda: [((), self.gate.limit)],
            names.GENERATION: lambda: [((), self.live.current.generation)],
        }


def _stock(transport: str) -> Any:
    if transport != "httpx2":
        return None
    import httpx2  # noqa: PLC0415 - only when it is asked for

    return httpx2.AsyncHTTPTransport(
        limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=1000)
    )


def _media(settings: Settings) -> MediaStore:
    drafts = settings.data_dir / "media"
    if settings.media_url is None:
        return MediaStore(drafts, Directory(drafts))
    from gateway.store.media_objects import Bucket  # noqa: PLC0415 - megabytes that only buckets need

    try:
        return MediaStore(drafts, Bucket(settings.media_url))
    except ValueError as error:
        raise ConfigError([ConfigProblem("FAIRLEAD_MEDIA_URL", 0, 0, "", str(error))]) from error


def _workshop(settings: Settings) -> Workshop:
    if settings.signing is None:
        return Workshop()
    certificate, key = map(str, settings.signing)
    return Workshop(Signing(certificate=certificate, key=key))


def _limiter(settings: Settings, on_error: Callable[[], str]) -> Limiter:
    local = MemoryLimiter()
    if settings.redis_url is None:
        return local
    return RedisLimiter(settings.redis_url.reveal(), local, on_error, replicas=settings.replicas)


def _exporter(environment: Mapping[str, str]) -> tuple[Any, Any]:
    wanted = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environment.get(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    )
    if not wanted or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None, None
    from gateway.telemetry.setup import span_export  # noqa: PLC0415 - a tenth of a second nobody else pays

    return span_export(version("fairlead"), SYSTEM)
