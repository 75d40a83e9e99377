"""`fairlead webhooks` beside a running gateway: what became of them, again, and what signs them; nothing is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.running import KEY, routing
from tests.service.receiver import OK, Receiver, genuine
from tests.service.video_provider import MP4, Provider
from tests.system.process import AUTHORIZED, Serving, command, until_async
from tests.telemetry.collector import Collector
from tests.transport.faulty import answer, send

GONE = send(answer(b"canary-answer", "410 Gone"))
OWN = "whsec_" + "Y2FuYXJ5" * 4
COUNTS_SECONDS = 10.0


def text(provider: Provider) -> str:
    target = {"provider": "films", "model": "film", "price": {"per_second": 0.1}}
    return routing(
        {"sora-2": {"kind": "video", "targets": [target]}},
        {"films": {"dialect": "openai", "kind": "video", "base_url": f"{provider.url}/v1"}},
        defaults={"webhook_networks": ["127.0.0.0/8"]},
    )


class Stage:
    """A gateway process, its provider, and somebody who listens."""

    def __init__(self, gateway: Serving, hook: Receiver, http: httpx2.AsyncClient) -> None:
        self.gateway = gateway
        self.hook = hook
        self.http = http

    async def says(self, *words: str, status: int = 0) -> str:
        """What a `fairlead webhooks` command prints, or why it refuses."""
        return await self._command("webhooks", *words, status=status)

    async def key(self, *words: str) -> tuple[str, str]:
        """A new key of the database and its id."""
        made = await self._command("keys", "create", "films", *words)
        [row] = [line for line in (await self._command("keys", "list")).splitlines() if made[-5:-1] in line]
        return made.strip(), row.split(" ")[0]

    async def video(self, key: str = KEY, **fields: Any) -> str:
        """A new video's id."""
        body = {"model": "sora-2", "prompt": "A kite", **fields}
        headers = {"authorization": f"Bearer {key}"}
        made = await self.http.post(f"{self.gateway.url}/v1/videos", json=body, headers=headers)
        return str(made.json().get("id", ""))

    async def _command(self, *words: str, status: int = 0) -> str:
        told = ("--config", str(self.gateway.config))
        done = await asyncio.to_thread(command, self.gateway.folder, *words, *told)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout


@asynccontextmanager
async def stage(folder: Path, more: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    async with Provider() as one, Receiver() as hook, httpx2.AsyncClient(timeout=20) as http:
        with Serving(folder, text(one), more=more, wait=False) as gateway:
            await asyncio.to_thread(gateway.ready)
            yield Stage(gateway, hook, http)


async def test_what_became_of_a_webhook_is_seen_and_it_is_sent_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        s.hook.next(GONE)
        video = await s.video(callback_url=s.hook.hook)
        await s.hook.until(1)
        [identity] = s.hook.ids
        await until_async(lambda: s.gateway.metric("gateway_webhook_deliveries_total", result="dead") == 1)
        told = await s.says("list")
        assert told == (
            f"{identity}  dead        1  video.completed  {video}  127.0.0.1  "
            "the receiver answered with status 410\n"
        )
        assert await s.says("list", "--state", "dead", "--limit", "1") == told
        assert await s.says("list", "--state", "waiting") == ""
        assert await s.says("replay", identity) == f"{identity} is sent again\n"
        await s.hook.until(2, 5.0)
        assert s.hook.ids == [identity, identity]
        await until_async(lambda: s.gateway.metric("gateway_webhook_lag_seconds_count") == 1)
        assert (await s.says("list", "--state", "delivered")).startswith(f"{identity}  delivered   1")
        assert "no webhook `evt_none`" in await s.says("replay", "evt_none", status=1)
        secret = (await s.says("secret", "test")).strip()
        for seen in s.hook.requests:
            assert genuine(seen, secret)["job_id"] == video


async def test_a_key_of_the_database_has_an_endpoint_and_secrets_that_turn(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        key, identity = await s.key("--webhook", s.hook.hook)
        first = (await s.says("secret", identity)).strip()
        assert first == (await s.says("secret", identity)).strip()

        async def told() -> bool:
            return await s.video(key) != ""

        await until_async(told, COUNTS_SECONDS)
        await s.hook.until(1)
        genuine(s.hook.requests[0], first)
        second = (await s.says("secret", identity, "--rotate")).strip()
        assert second != first

        async def turned() -> bool:
            seen = len(s.hook.requests)
            await s.video(key, prompt=f"Kite {seen}")
            await s.hook.until(seen + 1)
            return " " in s.hook.requests[-1].headers["webhook-signature"]

        await until_async(turned, COUNTS_SECONDS)
        for secret in (first, second):
            genuine(s.hook.requests[-1], secret)


async def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as s:
        assert "There is no key `nobody`" in await s.says("secret", "nobody", status=1)
        told = await s.says("secret", "test", "--rotate", status=1)
        assert "those that the routing file names as `webhook.secrets`" in told
        for url in ("ftp://x", "https://169.254.169.254/"):
            refused = await s._command("keys", "create", "x", "--webhook", url, status=1)
            assert refused.startswith("--webhook: cannot be used: ")


async def test_nothing_of_a_webhook_or_a_link_is_told_anywhere(tmp_path: Path) -> None:
    async with Collector() as collector:
        more = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "50", "HOOK_SECRET": OWN,
        }  # fmt: skip
        async with stage(tmp_path, more) as s:
            file = s.gateway.config
            file.write_text(
                file.read_text().replace(
                    "- name: test\n", "- name: test\n  webhook: {secrets: ['env:HOOK_SECRET']}\n"
                )
            )
            await until_async(lambda: s.gateway.metric("gateway_config_generation") == 2)
            s.hook.next(send(answer(b"canary-answer", "500 canary-words")))
            video = await s.video(callback_url=s.hook.hook)
            await s.hook.until(1)
            genuine(s.hook.requests[0], OWN)
            link = s.hook.events[0]["video_url"]
            assert (await s.http.get(link)).content == MP4
            wrong = f"{link}x"
            refused = await s.http.get(wrong)
            shown = await s.http.get(f"{s.gateway.url}/v1/videos/{video}", headers=AUTHORIZED)
            assert "routing file" in await s.says("secret", "test", status=1)
            s.hook.always(OK)
            told = [await s.says("list"), refused.text, shown.text, json.dumps(dict(refused.headers))]
            told.append((await s.http.get(f"{s.gateway.url}/metrics")).text)
            await until_async(lambda: len(collector.traces()) >= 3)
            told += [s.gateway.out, s.gateway.err]
            told += [seen.body.decode(errors="replace") for seen in collector.server.requests]
            signature = link.rpartition("=")[2]
            for canary in (signature, "canary", OWN, "Y2FuYXJ5"):
                assert not [one for one in told if canary in one], canary
