"""Gateways and Redis are killed and Redis forgets, for some seconds: the books agree to the nano-dollar afterwards."""

from collections import Counter

from tests.lab.accounts import broken, report
from tests.lab.parts import ground
from tests.lab.spending import FAULTS, Plan, run
from tests.servers import PostgresServer, postgres_server  # noqa: F401 - a fixture
from tests.system.test_limits import clear_of_midnight


async def test_whatever_is_killed_and_forgotten_the_books_agree(postgres_server: PostgresServer) -> None:  # noqa: F811
    await clear_of_midnight()
    plan = Plan(gateways=2, seconds=0.0, every=0.4, seed=7)
    with ground() as folder:
        seen = await run(plan, folder, postgres_server.create_database())
    assert not broken(seen), report(seen)
    assert seen.faults == Counter(FAULTS), report(seen)
    assert sum(one.status == 200 for one in seen.asked) > 100, report(seen)
