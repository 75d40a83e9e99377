"""Who is measured: Fairlead with everything switched on, and peers where they are installed.

A peer is found through an environment variable: `BENCH_LITELLM` names its `litellm` program, `BENCH_PORTKEY`
its `start-server.js`, `BENCH_NGINX` nginx itself. Each runs in production mode, with little logging, on the fastest
server it offers. nginx is no gateway: it is the yardstick, the least that passing bytes on costs on this machine now.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

KEY = "sk-fl-benchmark"
MODEL = "bench"


class Subject(msgspec.Struct, kw_only=True):
    """One gateway to start. `features` says what it does on each request, for the reader of the table."""

    name: str
    command: Sequence[str]
    port: int
    features: str
    environment: Mapping[str, str] = {}
    path: str = "/v1/chat/completions"
    model: str = MODEL
    headers: Mapping[str, str] = {}


def fairlead(folder: Path, upstreams: tuple[int, int], port: int, environment: Mapping[str, str]) -> Subject:
    """Ourselves, with two providers at these ports; the first is the cheaper one."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = [
        {"provider": name, "model": "mock-model-1", "price": {"input": price, "output": 4 * price}}
        for name, price in (("one", 0.1), ("two", 0.2))
    ]
    routing = {
        "providers": {
            name: {"dialect": "openai", "base_url": f"http://127.0.0.1:{upstream}/v1", "key": "env:UP_KEY"}
            for name, upstream in zip(("one", "two"), upstreams, strict=True)
        },
        "models": {MODEL: {"policy": "cheapest", "targets": targets}},
        "limits": {
            "high": [
                {"requests": 1_000_000_000, "per": "minute"},
                {"tokens": 1_000_000_000_000, "per": "minute"},
                {"concurrent": 100_000},
                {"dollars": 1_000_000, "per": "day"},
            ]
        },
        "keys": [{"name": "bench", "key": "env:BENCH_KEY", "models": ["*"], "limits": "high"}],
    }
    (folder / "fairlead.yaml").write_text(json.dumps(routing))  # JSON is YAML
    return Subject(
        name="fairlead",
        command=[sys.executable, "-m", "gateway", "serve", "--port", str(port), "--drain", "0"],
        port=port,
        features="key, 4 limits, routing by cost over 2 targets, usage and cost, ledger, metrics, log, 10 % traces",
        environment={
            "FAIRLEAD_CONFIG": str(folder / "fairlead.yaml"),
            "FAIRLEAD_DATA_DIR": str(folder / "data"),
            "BENCH_KEY": KEY,
            "UP_KEY": "sk-upstream",
            **environment,
        },
    )


def _litellm(folder: Path, upstream: int, port: int) -> Subject | None:
    program = os.environ.get("BENCH_LITELLM")
    if not program or not Path(program).exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "model_list": [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": "openai/gpt-4o-mini",
                    "api_base": f"http://127.0.0.1:{upstream}/v1",
                    "api_key": "sk-upstream",
                },
            }
        ],
        "general_settings": {"master_key": "sk-" + KEY},
        "litellm_settings": {"num_retries": 0, "drop_params": True},
    }
    (folder / "litellm.yaml").write_text(json.dumps(config))
    return Subject(
        name="litellm",
        command=[
            program,
            "--config",
            str(folder / "litellm.yaml"),
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
            "--run_granian",  # the fastest of the servers it offers
        ],
        port=port,
        features="master key, one model, its own cost and log path",
        environment={
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
    )


def _portkey(upstream: int, port: int) -> Subject | None:
    script = os.environ.get("BENCH_PORTKEY")
    node = shutil.which("node")
    if not script or not Path(script).exists() or node is None:
        return None
    return Subject(
        name="portkey",
        command=[node, script, f"--port={port}", "--headless"],
        port=port,
        features="forwards; checks no key, keeps no limits",
        environment={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers={"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"},
    )


_NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_authorization $known {{ default 0; "Bearer {key}" 1; }}
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        keepalive_requests 1000000000;
        location / {{
            if ($known = 0) {{ return 401; }}
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer sk-upstream";
            proxy_buffering off;
        }}
    }}
}}
"""


def _nginx(folder: Path, upstream: int, port: int) -> Subject | None:
    program = os.environ.get("BENCH_NGINX")
    if not program or not Path(program).exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, key=KEY, upstream=upstream, port=port))
    return Subject(
        name="nginx",
        command=[
            program,
            "-p",
            str(folder),
            "-c",
            str(folder / "nginx.conf"),
            "-e",
            str(folder / "error.log"),
        ],
        port=port,
        features="key, access log; passes bytes on and does nothing else",
    )


def key_of(subject: Subject) -> str:
    """The bearer key its clients send."""
    return f"sk-{KEY}" if subject.name == "litellm" else KEY


def subjects(
    folder: Path, upstream: int, ports: Sequence[int], environment: Mapping[str, str]
) -> list[Subject]:
    """Fairlead, and the peers that are installed."""
    found = [
        fairlead(folder / "fairlead", (upstream, upstream), ports[0], environment),
        _litellm(folder / "litellm", upstream, ports[1]),
        _portkey(upstream, ports[2]),
        _nginx(folder / "nginx", upstream, ports[3]),
    ]
    return [subject for subject in found if subject is not None]
