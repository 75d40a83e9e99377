"""Litestar, without what it would load for handlers of another kind."""

from litestar import Litestar
from litestar.plugins import PluginProtocol


class Lean(Litestar):
    """Litestar without its plugins for pydantic and attrs.

    No handler of ours takes or gives either, and loading them, pydantic's first version included, takes a tenth of a
    start and 5 MB.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return plugins  # no setting says so
