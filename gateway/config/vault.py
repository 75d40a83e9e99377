"""Turns references to secrets into secrets, and remembers each, so that output can be checked for leaks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from providers.types import Secret

_MAX_BYTES = 64 * 1024


class MissingSecretError(Exception):
    """A reference that leads nowhere. The message names the reference, never what was found."""


class Vault:
    """The secrets of one configuration. `environment` is where `env:NAME` looks."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._opened: dict[str, Secret] = {}

    @property
    def secrets(self) -> Sequence[Secret]:
        """Everything handed out so far."""
        return tuple(self._opened.values())

    def open(self, reference: str) -> Secret:
        """The secret behind `env:NAME` or `file:/path`. Raises MissingSecretError."""
        if reference not in self._opened:
            kind, _, name = reference.partition(":")
            value = self._from_file(name) if kind == "file" else self._from_env(name)
            self._opened[reference] = Secret(value)
        return self._opened[reference]

    def first_set(self, names: Sequence[str]) -> str | None:
        """The first of these environment variables that holds something."""
        return next((name for name in names if self._environment.get(name, "").strip()), None)

    def _from_env(self, name: str) -> str:
        value = self._environment.get(name, "").strip()
        if not value:
            state = "is empty" if name in self._environment else "is not set"
            raise MissingSecretError(f"the environment variable {name} {state}")
        return value

    def _from_file(self, name: str) -> str:
        path = Path(name)
        try:
            if not path.is_file():
                raise MissingSecretError(f"there is no file {name}")
            with path.open("rb") as file:
                value = file.read(_MAX_BYTES + 1)
            text = value.decode().strip()
        except (OSError, ValueError) as error:
            raise MissingSecretError(
                f"the file {name} cannot be read as text: {type(error).__name__}"
            ) from None
        if not text or len(value) > _MAX_BYTES:
            raise MissingSecretError(f"the file {name} is {'too long for a secret' if text else 'empty'}")
        return text


class TrustingVault(Vault):
    """Takes every reference for good without looking: for a check where no secret is at hand, as in CI."""

    def __init__(self) -> None:
        super().__init__({})

    def open(self, reference: str) -> Secret:
        """The reference itself, so that different references are different secrets."""
        return Secret(reference)

    def first_set(self, names: Sequence[str]) -> str | None:
        """Whichever comes first."""
        return next(iter(names), None)
