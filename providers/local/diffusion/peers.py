"""Several processes, a device each, that make every clip together: the engine itself and its peers.

Theory of operation. A peer loads the same models with the same settings. For each clip the engine sends it what
its own pipeline is called with, and the state of its dice; then all make the same call, and in it the
transformer's attention exchanges its parts (Ulysses; Jacobs et al., 2023), each process computing its share of
the tokens. Only the engine's clip is kept. Whoever is missing leaves the rest waiting in the middle of a step:
so an engine whose clip does not come to its end, by a cancel too, ends with all its peers and is started anew.
"""

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec
import torch
import torch.distributed as group
from msgspec import Struct

from providers.local.diffusion.directory import read_index
from providers.local.diffusion.families import family_of
from providers.local.diffusion.loading import keep_quiet
from providers.local.diffusion.model import VideoModel
from providers.local.diffusion.settings import ModelSettings, SetupError
from providers.local.engine import CANNOT_LOAD

_HOST = "127.0.0.1"


class Seat(Struct, frozen=True):
    """One of `count` processes; 0 is the engine's own. They meet at `port`."""

    rank: int
    count: int
    port: int


class Peers:
    """The other processes, as the engine sees them."""

    def __init__(self, settings: Mapping[str, ModelSettings]) -> None:
        """Start those that the settings ask for; none is the usual. Raises SetupError."""
        shared = {name: one for name, one in settings.items() if one.context_parallel > 1}
        _check(shared)
        self._names, self._pipes = set(shared), list[Connection]()
        self._processes: list[BaseProcess] = []
        self._closed = False
        for count in {one.context_parallel for one in shared.values()}:
            self._start(count, shared)

    def close(self) -> None:
        """End them."""
        self._closed = True
        for process in self._processes:
            process.kill()
        if self._processes:
            group.destroy_process_group()

    @contextmanager
    def together(self, name: str, call: Any, dice: torch.Generator) -> Iterator[None]:
        """Around a call of that model's pipeline: the peers make it, too."""
        pipes = self._pipes if name in self._names else []
        for pipe in pipes:
            pipe.send((name, call, dice.get_state()))
        try:
            yield
        except BaseException:
            if pipes:
                traceback.print_exc()
                os._exit(1)
            raise

    def _start(self, count: int, shared: Mapping[str, ModelSettings]) -> None:
        store = group.TCPStore(_HOST, 0, count, is_master=True, wait_for_workers=False)
        spawn = multiprocessing.get_context("spawn")
        for rank in range(1, count):
            ours, theirs = spawn.Pipe()
            peer = spawn.Process(
                target=_peer, args=(Seat(rank, count, store.port), shared, theirs), daemon=True
            )
            peer.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(peer)
        threading.Thread(target=self._watch, daemon=True).start()
        _join(Seat(0, count, store.port), store)

    def _watch(self) -> None:
        """Without one of them nothing comes to its end: an engine that is alone ends, too."""
        wait([one.sentinel for one in self._processes])
        if not self._closed:
            os._exit(next((one.exitcode for one in self._processes if one.exitcode), 1))


def _check(shared: Mapping[str, ModelSettings]) -> None:
    """Raise SetupError for what cannot be, before anything is started."""
    counts, cards = {one.context_parallel for one in shared.values()}, torch.cuda.device_count()
    if len(counts) > 1:
        raise SetupError(f"context_parallel is {sorted(counts)}: all models that have it must say the same.")
    for name, one in shared.items():
        family = family_of(read_index(Path(one.path)))
        network = msgspec.json.decode((Path(one.path) / "transformer/config.json").read_bytes())
        heads, count = network["num_attention_heads"], one.context_parallel
        problems = {
            "of the kinds of models only Wan can be shared": family is None or not family.shared,
            f"its {heads} attention heads are no multiple of it": heads % count > 0,
            "first_block_cache would skip other steps on each device": one.first_block_cache is not None,
            f"device {one.device!r} is a single one": ":" in one.device,
            f"this machine has {cards} cards": 0 < cards < count,
        }
        found = [problem for problem, there in problems.items() if there]
        if found:
            raise SetupError(f"context_parallel {count} cannot be used for {name}: {found[0]}.")


def _peer(seat: Seat, shared: Mapping[str, ModelSettings], calls: Connection) -> None:
    """The life of a peer, which ends with the engine's."""
    threading.Thread(target=_end_with_the_engine, daemon=True).start()
    keep_quiet()
    _join(seat, group.TCPStore(_HOST, seat.port, seat.count, is_master=False))
    try:
        models = {name: VideoModel(name, Path(one.path), one) for name, one in shared.items()}
    except SetupError as wrong:
        sys.stderr.write(f"fairlead worker, process {seat.rank} of {seat.count}: {wrong}\n")
        os._exit(CANNOT_LOAD)
    while True:
        name, call, state = calls.recv()
        dice = torch.Generator("cpu")
        dice.set_state(state)
        models[name].run(call, dice, lambda _share: None)


def _join(seat: Seat, store: Any) -> None:
    """Meet the others; returns when all are there. Each takes the device of its rank."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(seat.rank)
        backend = "cpu:gloo,cuda:nccl"
    group.init_process_group(backend, store=store, rank=seat.rank, world_size=seat.count)


def _end_with_the_engine() -> None:
    engine = multiprocessing.parent_process()
    if engine is not None:
        engine.join()
    os._exit(0)
