"""What a worker is started with."""

from pathlib import Path

from msgspec import Struct

KEY_VARIABLE = "FAIRLEAD_WORKER_KEY"
"""The environment variable with the bearer key: a key on the command line would show in process lists."""

PACE_VARIABLE = "TESTCARD_PACE"
"""Read by the testcard engine: seconds that a second of video takes at least."""


class Settings(Struct, frozen=True, kw_only=True):
    """Fixed for the life of the process.

    `queue_size` counts the jobs that wait behind the running one. A finished video is kept `keep` seconds.
    `key` is the bearer key clients must send, empty when none is needed.
    """

    engine: str
    data_dir: Path
    queue_size: int
    keep: float
    key: str = ""
