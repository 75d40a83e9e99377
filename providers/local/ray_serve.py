"""The worker as an application of Ray Serve, for GPU clusters that Ray runs: `providers.local.ray_serve:worker`.

Theory of operation. Ray says on which machine a worker runs, gives it its GPU, and starts it anew. Which job goes
to which worker the gateway decides, and a worker alone knows the jobs that it accepted: so each is an application
of its own, with a route prefix of its own and one replica, never several behind one address, where a poll would
reach the wrong one. Needs the extra `ray`; nobody else imports this.
"""

import argparse
import logging
import shlex
from typing import Any

import msgspec
from litestar import Litestar
from msgspec import Struct
from ray import serve

from providers.local.__main__ import parser, setup
from providers.local.parent import Parent

_REQUESTS = 100
"""At once: whoever polls or fetches a video must not wait for one that is being sent."""


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an application is configured with.

    `options` are those of `fairlead worker`, on one line, without `--host` and `--port`, which are Ray's;
    `num_gpus` how many GPUs the worker needs, 0 for the test card or a CPU.
    """

    options: str = ""
    num_gpus: float = 1


class Replica:
    """The worker in the process that Ray started."""

    def __init__(self, options: str) -> None:
        """Raises SetupError, InUseError or OSError when it cannot be started like this on this machine."""
        logging.getLogger("fairlead").setLevel(logging.INFO)
        settings, command = setup(_read(options))
        self._parent = Parent(settings, command)

    def __serve_build_asgi_app__(self) -> Litestar:
        """What `serve.ingress` serves."""
        return self._parent.app

    def check_health(self) -> None:
        """Ray asks now and then, and starts a worker anew that raises."""
        if self._parent.gave_up:
            raise RuntimeError("The engine cannot be loaded: the log of this replica says why.")


def worker(args: dict[str, Any]) -> serve.Application:
    """The application with these arguments. Raises ValueError for those that can be started nowhere."""
    given = msgspec.convert(args, Arguments, strict=False)
    _read(given.options)
    deployed = serve.deployment(serve.ingress()(Replica))
    return deployed.options(
        name="worker",
        num_replicas=1,
        max_ongoing_requests=_REQUESTS,
        ray_actor_options={"num_gpus": given.num_gpus},
    ).bind(given.options)


def _read(options: str) -> argparse.Namespace:
    """What the command line says. What is wrong with it stands on standard error, from where Ray logs it."""
    try:
        given = parser().parse_args(shlex.split(options))
    except SystemExit:
        given = None
    if given is None or given.command:
        raise ValueError(
            f"`options` is {options!r}: these are no options for starting a worker; "
            "`fairlead worker --help` lists them."
        )
    return given
