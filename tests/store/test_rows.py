"""Keys, idempotency keys and the ledger."""

import asyncio

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import IntegrityError

from gateway.errors import Unavailable
from gateway.store import idempotency, keys, ledger
from gateway.store.engine import Database
from gateway.store.idempotency import IdempotencyKey, Use
from gateway.store.keys import StoredKey
from tests.store.values import NOW, entry, opened

KEY = StoredKey(
    id="key_1", name="team", digest=b"\x00\xff" * 16, last4="abcd", settings={"models": ["*"]}, created_at=NOW
)


async def test_keys_are_found_by_digest_until_they_are_revoked(url: str) -> None:
    other = StoredKey(id="key_2", name="ci", digest=b"2" * 32, last4="wxyz", settings={}, created_at=NOW + 1)
    async with opened(url) as database, database.write() as transaction:
        await keys.create(transaction, KEY)
        await keys.create(transaction, other)
        assert await keys.find_all(transaction) == {KEY.digest: KEY, other.digest: other}
        assert await keys.revoke(transaction, "key_1", NOW + 5)
        assert not await keys.revoke(transaction, "key_1", NOW + 6)
        assert await keys.find_all(transaction) == {other.digest: other}
        assert [key.revoked_at for key in await keys.list_all(transaction)] == [NOW + 5, None]


async def test_a_rotated_key_has_a_new_digest_and_a_revoked_one_stays_dead(url: str) -> None:
    async with opened(url) as database, database.write() as transaction:
        await keys.create(transaction, KEY)
        assert await keys.rotate(transaction, "key_1", b"new" * 10, "9999")
        assert list(await keys.find_all(transaction)) == [b"new" * 10]
        assert await keys.revoke(transaction, "key_1", NOW)
        assert not await keys.rotate(transaction, "key_1", b"newer", "0000")
        assert not await keys.rotate(transaction, "key_9", b"newer", "0000")


async def test_two_keys_cannot_share_a_digest(url: str) -> None:
    async with opened(url) as database:
        with pytest.raises(IntegrityError):
            await create(database, KEY, replace(KEY, id="key_2"))
        async with database.read() as transaction:
            assert await keys.list_all(transaction) == []


async def create(database: Database, *made: StoredKey) -> None:
    async with database.write() as transaction:
        for key in made:
            await keys.create(transaction, key)


async def test_an_idempotency_key_is_bound_once_however_many_try(url: str) -> None:
    key = IdempotencyKey(caller="ann", route="videos", key="k1")

    async def take(database: Database, number: int) -> Use:
        async with database.write() as transaction:
            return await idempotency.take(transaction, key, Use(job=f"v{number}", fingerprint=b"f"), NOW)

    async with opened(url) as database:
        taken = await asyncio.gather(*(take(database, number) for number in range(20)))
        assert len({use.job for use in taken}) == 1
        async with database.read() as transaction:
            assert await idempotency.find(transaction, key) == taken[0]
            for stranger in (
                IdempotencyKey(caller="bob", route="videos", key="k1"),
                IdempotencyKey(caller="ann", route="generations", key="k1"),
                IdempotencyKey(caller="ann", route="videos", key="k2"),
            ):
                assert await idempotency.find(transaction, stranger) is None
        async with database.write() as transaction:
            await idempotency.forget(transaction, NOW)
            assert await idempotency.find(transaction, key) is not None
            await idempotency.forget(transaction, NOW + 1)
            assert await idempotency.find(transaction, key) is None


async def test_the_ledger_takes_each_source_and_kind_once(url: str) -> None:
    async with opened(url) as database:
        for _ in range(2):
            async with database.write() as transaction:
                await ledger.add(
                    transaction, [entry("r1", 5), entry("r2", None), entry("r1", 2, kind="video")]
                )
                await ledger.add(transaction, [])
        async with database.write() as transaction:
            await ledger.add(
                transaction, [entry("r3", 10**15, created_at=NOW + 10), entry("r4", caller="bob")]
            )
            assert await ledger.spent(transaction, {"caller": "ann"}, 0.0) == 10**15 + 7
            assert await ledger.spent(transaction, {"caller": "ann"}, NOW + 10) == 10**15
            assert await ledger.spent(transaction, {"caller": "ann"}, NOW + 11) == 0
            assert await ledger.spent(transaction, {"caller": "nobody"}, 0.0) == 0


async def test_charges_are_summed_by_whoever_shares_a_budget(url: str) -> None:
    async with opened(url) as database, database.write() as transaction:
        others = [
            {"user": "u"},
            {"user": "u", "project": "p"},
            {"organisation": "b", "user": "u"},
            {"model": "m"},
        ]
        await ledger.add(transaction, [entry(f"r{10**n}", 10**n, **told) for n, told in enumerate(others)])
        for whose, total in (
            ({"organisation": "acme", "user": "u"}, 11),
            ({"organisation": "acme", "project": "p"}, 10),
            ({"organisation": "acme"}, 1011),
            ({"organisation": "b"}, 100),
            ({"caller": "ann", "model": "m"}, 1000),
        ):
            assert await ledger.spent(transaction, whose, 0.0) == total


async def test_what_fails_half_way_leaves_nothing(url: str) -> None:
    async with opened(url) as database:
        with pytest.raises(RuntimeError):
            await half_way(database)
        async with database.read() as transaction:
            assert await ledger.spent(transaction, {"caller": "ann"}, 0.0) == 0


async def half_way(database: Database) -> None:
    async with database.write() as transaction:
        await ledger.add(transaction, [entry("r1")])
        raise RuntimeError("half way")


async def test_a_database_that_is_away_is_told_as_such() -> None:
    database = Database("postgresql+psycopg://postgres@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises(Unavailable, match="database does not answer"):
        async with database.read() as transaction:
            await ledger.spent(transaction, {"caller": "ann"}, 0.0)
    await database.close()
