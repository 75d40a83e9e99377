"""Runs the benchmark: `python -m benchmarks.run [--rounds N] [--write]`, or `make bench`.

Subjects are measured in turn within each round, and the order is reversed every other round, so that a busy
moment of the machine does not fall on one of them alone. Quote ratios of one run, not absolute figures.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.load import Job
from benchmarks.processes import Started, answers, cpu_seconds, free_port, listens, memory_mb
from benchmarks.subjects import Subject, key_of, subjects

RESULTS = Path(__file__).parent / "RESULTS.md"
NEWEST = "Newest first; written by `make bench ARGS=--write`.\n\n"
_PROMPT = "Summarise what a gateway between applications and model providers has to get right. " * 9


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of load. `requests` is how many per round, by subject; a subject without a number sits it out."""

    name: str
    what: str
    requests: Mapping[str, int]
    connections: int = 32
    rate: float = 0.0
    stream: bool = False
    gap_ms: int = 0


SCENARIOS = (
    Scenario(
        name="chat",
        what="1 KB chat, 32 connections, closed loop",
        requests={"fairlead": 8000, "litellm": 400, "portkey": 3000, "nginx": 16000},
    ),
    Scenario(
        name="chat-500",
        what="1 KB chat at 500 requests/s, open loop",
        requests={"fairlead": 2500, "upstream": 2500, "nginx": 2500},
        connections=64,
        rate=500.0,
    ),
    Scenario(
        name="stream-64",
        what="64 streams of 100 chunks, one every 20 ms",
        requests={"fairlead": 128, "portkey": 128, "nginx": 128},
        connections=64,
        stream=True,
        gap_ms=20,
    ),
    Scenario(
        name="stream-8",
        what="8 streams of 100 chunks, one every 20 ms",
        requests={"fairlead": 16, "litellm": 16, "portkey": 16, "nginx": 16},
        connections=8,
        stream=True,
        gap_ms=20,
    ),
)


def body(subject: Subject, scenario: Scenario) -> dict[str, Any]:
    """The request's body."""
    made: dict[str, Any] = {
        "model": subject.model,
        "messages": [{"role": "system", "content": "You are brief."}, {"role": "user", "content": _PROMPT}],
        "temperature": 0.2,
    }
    if scenario.stream:
        made |= {"stream": True, "max_tokens": 100, "seed": scenario.gap_ms}
    return made


def load(subject: Subject, scenario: Scenario, requests: int) -> dict[str, float]:
    """One run of the load generator, in a process of its own."""
    job = Job(
        port=subject.port,
        body=body(subject, scenario),
        path=subject.path,
        key=key_of(subject),
        headers=dict(subject.headers),
        connections=scenario.connections,
        requests=requests,
        rate=scenario.rate,
    )
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(job).decode()],
        capture_output=True,
        check=True,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(subject: Subject, started: Started, scenario: Scenario) -> dict[str, float] | None:
    """One round of one scenario on one subject; CPU in microseconds per request and per chunk."""
    requests = scenario.requests.get(subject.name)
    if requests is None:
        return None
    load(subject, scenario, max(scenario.connections, requests // 10))
    before = cpu_seconds(started.pid)
    told = load(subject, scenario, requests)
    spent = (cpu_seconds(started.pid) - before) * 1e6
    told["cpu_us"] = spent / max(1.0, told["ok"])
    if told["chunks"]:
        told["cpu_us_per_chunk"] = spent / told["chunks"]
    return told


Rows = dict[tuple[str, str], list[dict[str, float]]]


def rounds(count: int, running: Sequence[tuple[Subject, Started]]) -> Rows:
    """Every scenario on every subject, `count` times, interleaved."""
    rows: Rows = defaultdict(list)
    for number in range(count):
        order = running if number % 2 == 0 else list(reversed(running))
        for scenario in SCENARIOS:
            for subject, started in order:
                told = measure(subject, started, scenario)
                if told is not None:
                    rows[scenario.name, subject.name].append(told)
                    sys.stderr.write(f"round {number + 1} {scenario.name:10} {subject.name:9} {told}\n")
    return rows


def start(subject: Subject, folder: Path) -> Started:
    """Start a gateway and wait for its first answered chat."""
    started = Started(subject.command, subject.environment, folder / f"{subject.name}.log")
    asked = json.dumps(body(subject, SCENARIOS[0])).encode()
    key, headers = key_of(subject), subject.headers
    try:
        started.wait_until(lambda: answers(subject.port, subject.path, key, asked, headers))
    except BaseException:
        started.stop()
        raise
    return started


def report(
    rows: Rows, running: Sequence[tuple[Subject, Started]], idle: Mapping[str, float], count: int
) -> str:
    """The result as Markdown."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, check=False, text=True
    )
    lines = [
        f"## {time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip() or 'unknown'}",
        "",
        (
            f"Python {platform.python_version()}, {os.cpu_count()} cores, {count} rounds, "
            f"load average at the end {os.getloadavg()[0]:.1f}. Minimum / median over the rounds."
        ),
        "",
        "| scenario | gateway | CPU µs/request | CPU µs/chunk | p50 µs | p99 µs | wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for (scenario, subject), told in rows.items():
        cells = [_cell(told, field) for field in ("cpu_us", "cpu_us_per_chunk", "p50_us", "p99_us")]
        lines.append(
            f"| {scenario} | {subject} | {' | '.join(cells)} | {sum(int(one['wrong']) for one in told)} |"
        )
    lines += [
        "",
        "| gateway | ready, s | idle PSS, MB | PSS after, MB | does on each request |",
        "|---|---|---|---|---|",
    ]
    for subject, started in running:
        memory = f"{idle[subject.name]:.0f} | {memory_mb(started.pid):.0f}"
        lines.append(f"| {subject.name} | {started.ready_seconds:.2f} | {memory} | {subject.features} |")
    lines += ["", *_ratios(rows), ""]
    return "\n".join(lines)


def _cell(told: Sequence[Mapping[str, float]], field: str) -> str:
    values = [one[field] for one in told if field in one]
    return f"{min(values):.0f} / {statistics.median(values):.0f}" if values else "-"


def _ratios(rows: Rows) -> list[str]:
    lines = []
    for scenario in ("chat", "stream-8", "stream-64"):
        field = "cpu_us" if scenario == "chat" else "cpu_us_per_chunk"
        ours = [one[field] for one in rows.get((scenario, "fairlead"), []) if field in one]
        for peer in ("litellm", "portkey", "nginx"):
            theirs = [
                one[field] for one in rows.get((scenario, peer), []) if field in one and not one["wrong"]
            ]
            if ours and theirs:
                ratio = statistics.median(theirs) / statistics.median(ours)
                times = f"1/{ratio:.1f} of" if ratio >= 1 else f"{1 / ratio:.1f} times"
                lines.append(f"- {scenario}: {times} the CPU of {peer} (medians of one run).")
    direct = rows.get(("chat-500", "upstream"), [])
    for subject in ("fairlead", "nginx"):
        through = rows.get(("chat-500", subject), [])
        for name in ("p50_us", "p99_us") if direct and through else ():
            added = statistics.median(o[name] for o in through) - statistics.median(o[name] for o in direct)
            what = f"added {name.removesuffix('_us')} at 500 requests/s"
            lines.append(f"- {subject}: {what}: {added / 1000:.2f} ms.")
    return lines


def main() -> None:
    """Run it all and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the report on top of RESULTS.md")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = free_port()
        mock = Started([sys.executable, "-m", "benchmarks.upstream", str(base)], {}, folder / "upstream.log")
        mock.wait_until(lambda: listens(base))
        traces = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{base}",
            "OTEL_TRACES_SAMPLER_ARG": "0.1",
        }
        running = [(Subject(name="upstream", command=(), port=base, features="the mock itself"), mock)]
        try:
            for subject in subjects(folder, base, [base + 1, base + 2, base + 3, base + 4], traces):
                started = start(subject, folder)  # one after another: the list tells what must be stopped
                running.append((subject, started))
            time.sleep(1)
            idle = {subject.name: memory_mb(started.pid) for subject, started in running}
            text = report(rounds(told.rounds, running), running, idle, told.rounds)
        finally:
            for _, started in running:
                started.stop()
    sys.stdout.write(text)
    if told.write:
        before, newest, runs = RESULTS.read_text().partition(NEWEST)
        RESULTS.write_text(f"{before}{newest}{text}\n{runs}")


if __name__ == "__main__":
    main()
