"""The test servers themselves: real, private, restartable with their data."""

import psycopg
import pytest
import redis

from tests.servers import PostgresServer, RedisServer, running


def test_redis_keeps_its_data_over_a_kill() -> None:
    with running(RedisServer) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("kept", "yes")
        server.kill9()
        with redis.Redis.from_url(server.url) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"yes"
        server.restart()


def test_postgres_keeps_its_data_over_a_kill() -> None:
    with running(PostgresServer) as server:
        address = server.create_database().replace("+psycopg", "")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (word text)")
            connection.execute("INSERT INTO kept VALUES ('yes')")
        server.kill9()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(address, connect_timeout=2)
        server.start()
        with psycopg.connect(address) as connection:
            assert connection.execute("SELECT word FROM kept").fetchone() == ("yes",)
        server.restart()
