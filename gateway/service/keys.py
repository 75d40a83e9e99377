"""Who a key belongs to, answered from memory: keys of the routing file and keys made by the command line.

A key is never kept: what is compared is HMAC-SHA256 with the installation's pepper over the key's SHA-256,
so that a stolen database or file opens nothing. The whole digest is the lookup key, and the last comparison
is constant in time.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping, Sequence

from gateway.config.live import Live
from gateway.config.snapshot import Caller, Hook, Snapshot
from gateway.service.webhooks import secrets_of
from gateway.store.keys import StoredKey

log = logging.getLogger("fairlead.keys")

PREFIX = "sk-fl-"


def new_key() -> str:
    """A fresh key: 256 random bits behind a prefix that secret scanners can look for."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(pepper: bytes, key: bytes) -> bytes:
    """What stands for a key everywhere but in its owner's hands."""
    return hmac.digest(pepper, hashlib.sha256(key).digest(), "sha256")


class KeyRing:
    """All keys that open this gateway."""

    def __init__(self, live: Live, pepper: bytes) -> None:
        self._live = live
        self._pepper = pepper
        self._prepared = hmac.new(pepper, digestmod="sha256")
        self._stored: Mapping[bytes, StoredKey] = {}
        self._seen: Snapshot | None = None
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        self._ids: dict[str, Caller] = {}

    def find(self, key: bytes) -> Caller | None:
        """The owner of this key, None when it is not one of ours."""
        if self._live.current is not self._seen:
            self._rebuild()
        made = self._prepared.copy()  # as `digest`, without keying anew each time
        made.update(hashlib.sha256(key).digest())
        wanted = made.digest()
        if wanted not in self._callers:
            return None
        known, caller = self._callers[wanted]
        return caller if hmac.compare_digest(known, wanted) else None

    def owner(self, caller: str) -> Caller | None:
        """The caller with this id, as far as some key still opens the gateway to them."""
        if self._live.current is not self._seen:
            self._rebuild()
        return self._ids.get(caller)

    def hook_secrets(self, caller: str) -> Sequence[str]:
        """What the webhooks of the caller with this id are signed with; none when there is no such caller."""
        found = self.owner(caller)
        return () if found is None else secrets_of(found, self._pepper)

    def replace_stored(self, keys: Mapping[bytes, StoredKey]) -> None:
        """Take over the valid keys of the database, by digest."""
        if keys != self._stored:
            self._stored = keys
            self._seen = None

    def _rebuild(self) -> None:
        snapshot = self._live.current
        callers: dict[bytes, Caller] = {}
        for digest, key in self._stored.items():
            limits, caller = key.settings.get("limits"), caller_of(key, snapshot)
            if limits and limits not in snapshot.limits:  # without its limits a key would be unlimited
                log.error("key %s opens nothing: its limits `%s` are not in the routing file", key.id, limits)
            elif unowned := caller.unowned():  # likewise
                log.error("key %s opens nothing: its limits count by %s, and it has none", key.id, unowned)
            else:
                callers[digest] = caller
        for row in snapshot.keys:
            callers[hmac.digest(self._pepper, row.sha256, "sha256")] = row.caller
        self._callers = {digest: (digest, caller) for digest, caller in callers.items()}
        self._ids = {caller.id: caller for caller in callers.values()}
        self._seen = snapshot


def caller_of(key: StoredKey, snapshot: Snapshot) -> Caller:
    """Who a stored key belongs to under this configuration; its limits are a name of the routing file."""
    told = key.settings
    models = told.get("models")
    return Caller(
        id=key.id,
        name=key.name,
        models=None if models is None else frozenset(models),
        limits=snapshot.limits.get(told.get("limits") or "", ()),
        organisation=told.get("organisation") or "",
        project=told.get("project") or "",
        user=told.get("user") or "",
        hook=hook_of(key),
    )


def hook_of(key: StoredKey) -> Hook:
    """How the owner of a stored key is told of finished videos."""
    told = key.settings
    return Hook(url=told.get("webhook") or "", rotation=told.get("webhook_rotation") or 0)
