"""The composition root: the only place that picks implementations and says what runs beside the requests."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import partial
from random import random
from typing import Any

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway import backends
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
from gateway.api.framework import Lean
from gateway.api.gate import Gate
from gateway.api.models import model_list, one_model
from gateway.api.observe import observed
from gateway.api.render import error_body
from gateway.api.system import routes as system_routes
from gateway.clock import SYSTEM
from gateway.config.live import Live
from gateway.config.problems import ConfigProblem
from gateway.config.settings import Settings
from gateway.config.snapshot import Caller
from gateway.errors import Unavailable
from gateway.limits.rests import SharedRests
from gateway.limits.rules import Dimension
from gateway.media.workshop import Workshop
from gateway.routing import health
from gateway.service import limit_rows
from gateway.service.admission import Admission, JobAdmission, reserved
from gateway.service.batch_ports import BatchParts, Faces
from gateway.service.batch_runner import BatchRunner
from gateway.service.batches import Batches
from gateway.service.board import Board
from gateway.service.books import Books
from gateway.service.characters import Characters
from gateway.service.chat import Chat
from gateway.service.files import Files
from gateway.service.fleet import Fleet
from gateway.service.hearsay import Hearsay
from gateway.service.hooks import Hooks
from gateway.service.job_states import RESERVING
from gateway.service.keys import KeyRing
from gateway.service.moderation import Moderator
from gateway.service.outputs import Outputs
from gateway.service.pictures import Pictures
from gateway.service.recall import Held, Recall
from gateway.service.runner import Runner
from gateway.service.shadows import Shadows
from gateway.service.signers import Signers
from gateway.service.story import Parts
from gateway.service.tokens import Tokens
from gateway.service.video_links import Links
from gateway.service.video_metrics import JobMetrics
from gateway.service.video_ports import VideoParts
from gateway.service.video_queue import VideoQueue
from gateway.service.video_results import Results
from gateway.service.video_submit import Tools
from gateway.service.videos import Videos
from gateway.store import jobs, ledger
from gateway.store import keys as key_rows
from gateway.store.engine import Database, when_there
from gateway.store.media import MediaStore
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
from providers import video as dialects

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
        self._runs_jobs = settings.runs_jobs
        self.metrics = Metrics()
        self.gate = Gate(settings.max_in_flight, partial(self.metrics.count, names.OVERLOADS))
        self._board = Board()
        self.live = Live(settings.config, environment, settings.data_dir, self._reloaded)
        self._lines = Lines()
        self._database = Database(settings.database_url.reveal())
        self._upstream = Upstream(stock=backends.stock(settings.transport))
        self._fetcher = Fetcher(Dialer(None))
        self._limiter = backends.limiter(settings, lambda: self.live.current.on_store_error)
        self._books = Books(self._write_ledger)
        self._shadows = Shadows(self._upstream, self._board, self._books, SYSTEM, self.metrics.attempted)
        self._admission = Admission(self._limiter, self._spent, SYSTEM)
        self._quotas = limit_rows.Quotas(self._admission)
        self._recall = Recall(self._limiter, self._admission.held, self._job_leases, self._books.flush)
        self._pepper = settings.pepper.reveal().encode()
        self._ring = KeyRing(self.live, self._pepper)
        self._links = Links(self._pepper)
        export, self._close_export = backends.exporter(environment)
        self._recorder = Recorder(
            self.metrics, self._lines, SYSTEM, ratio=sampling_ratio(environment), export=export
        )
        self._fleet = Fleet(self._upstream, lambda: self.live.current, dialects.VIDEO_WORKER, SYSTEM)
        parts = self._video_parts(backends.media(settings), backends.workshop(settings))
        self._runner = self._video_runner(parts)
        self._videos = Videos(parts, self._runner.wake)
        self._characters = Characters(parts)
        signers = Signers(self._upstream, dialects.VIDEO_SIGNED, SYSTEM)
        self._hooks = Hooks(parts, signers, dialects.VIDEO_ASKING, self._runner.wake)
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
            snapshot=self._fleet.snapshot,
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
            adapters=dialects.VIDEO,
            cancels=dialects.VIDEO_CANCEL,
            recalls=dialects.VIDEO_RECALL,
            searches=dialects.VIDEO_SEARCH,
            inlines=dialects.VIDEO_INLINE,
            snapshot=parts.snapshot,
            media=parts.media,
            workshop=parts.workshop,
            queue=VideoQueue(parts, self._fleet, random),
            tokens=Tokens(self._upstream, SYSTEM),
            links=self._links,
            dice=random,
        )
        return Runner(parts, tools)

    def _batch_parts(self, media: MediaStore) -> BatchParts:
        return BatchParts(
            database=self._database,
            media=media,
            snapshot=self._fleet.snapshot,
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
        ordinary = Lean(
            route_handlers=[
                *self._model_routes(),
                *video_models.routes(self._fleet.snapshot, self._caller),
                *videos.routes(self._videos, self._caller),
                *characters.routes(self._characters, self._caller),
                *hooks.routes(self._hooks),
                *generations.routes(self._videos, self._caller),
                *files.routes(self._files, self._caller),
                *batches.routes(self._batches, self._caller),
                *explain.routes(self._explaining(), self._caller),
                *admin.routes(self._admin_key, self._watched()),
                *openapi.ROUTES,
                *system_routes(self.metrics, self._why_not_ready),
            ],
            exception_handlers=EXCEPTION_HOOKS,
            lifespan=[self._lifespan],
            openapi_config=openapi.CONFIG,
            logging_config=None,
        )
        return Edge(observed(ordinary, self._recorder), direct)  # type: ignore[arg-type] # same protocol

    def _watched(self) -> admin.Watched:
        return admin.Watched(live=self.live, board=self._board, ring=self._ring, admission=self._admission)

    def _explaining(self) -> explain.Explaining:
        return explain.Explaining(
            snapshot=self._fleet.snapshot, board=self._board, admission=self._admission, clock=SYSTEM
        )

    def _caller(self, request: Request[Any, Any, Any]) -> Caller:
        caller = authenticate(self._ring, dict(request.scope["headers"]))
        call = request.scope.get("fairlead_call")  # set by api/observe.py
        if isinstance(call, Call):
            call.key_id, call.organisation = caller.id, caller.organisation
        return caller

    def _model_routes(self) -> Sequence[HTTPRouteHandler]:
        @get("/v1/models", summary="List the models this key may use")
        async def list_models(request: Request[Any, Any, Any]) -> dict[str, Any]:
            return model_list(self._fleet.snapshot(), self._caller(request))

        @get("/v1/models/{model:path}", summary="Retrieve one model")
        async def retrieve_model(request: Request[Any, Any, Any], model: FromPath[str]) -> dict[str, Any]:
            return one_model(self._fleet.snapshot(), self._caller(request), model.removeprefix("/"))

        return (list_models, retrieve_model)

    # -- what runs beside the requests

    def _lifespan(self, _app: object) -> contextlib.AbstractAsyncContextManager[None]:
        return self.working(runs_jobs=self._runs_jobs)

    @contextlib.asynccontextmanager
    async def working(self, *, runs_jobs: bool) -> AsyncIterator[None]:
        """All that goes on beside requests, from its start to its end; with or without moving video jobs on."""
        await when_there(lambda: migrate(self._database))
        await when_there(self._load_keys)
        beside = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("follow the routing file", self.live.follow()),
                ("renew leases", self._admission.keep_alive()),
                ("remember for the limiter", self._recall.keep()),
                ("refresh keys", self._refresh_keys()),
                ("look at quotas", self._look_at_quotas()),
                *self._hearsay(),
            )
        ]
        if runs_jobs:
            beside.append(asyncio.create_task(self._runner.run(), name="run video jobs"))
            beside.append(asyncio.create_task(self._batch_runner.run(), name="run batches"))
        else:
            beside.append(asyncio.create_task(self._fleet.keep(), name="look at workers"))
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
            except Unavailable:
                log.warning("the database does not answer; the keys in memory stay in force")
            except Exception:  # a bug here must not end the refreshing
                log.exception("the keys could not be read; those in memory stay in force")

    async def _look_at_quotas(self) -> None:
        while True:
            await self._quotas.look(self.live.current)
            for target in self._quotas.known:
                self.metrics.show(target)
            await asyncio.sleep(limit_rows.EVERY)

    async def _load_keys(self) -> None:
        async with self._database.read() as transaction:
            self._ring.replace_stored(await key_rows.find_all(transaction))

    async def _write_ledger(self, batch: Sequence[ledger.Entry]) -> None:
        async with self._database.write() as transaction:
            await ledger.add(transaction, batch)
        self._admission.written(batch)

    async def _spent(self, budget: Dimension, whose: Mapping[str, str], before: float) -> int:
        await self._recall.ready(budget.key)
        await self._books.flush()
        async with self._database.read() as transaction:
            return await ledger.spent(transaction, whose, budget.since, before)

    async def _job_leases(self) -> Sequence[Held]:
        async with self._database.read() as transaction:
            found = await jobs.held(transaction, RESERVING)
        return [(lease, dimensions) for lease, held in found if (dimensions := reserved(held))]

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

        def quotas() -> Gauge:
            told = self._quotas.known.items()
            return [((target, row.limit, row.per), row.left) for target, rows in told for row in rows]

        return {
            names.TARGET_QUOTA: quotas,
            names.TARGET_STATE: states,
            names.TARGET_IN_FLIGHT: lambda: [((key,), seen.in_flight) for key, seen in known.items()],
            names.TARGET_SPEED: lambda: [((key,), seen.speed or 0.0) for key, seen in known.items()],
            names.TARGET_REST: rests,
            names.TARGET_LATENCY: lambda: [((key,), seen.latency or 0.0) for key, seen in known.items()],
            names.IN_FLIGHT_LIMIT: lambda: [((), int(self.gate.limit))],
            names.GENERATION: lambda: [((), self.live.current.generation)],
        }
