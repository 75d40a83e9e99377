"""Holds what a chat request costs, counted in calls: a number that no busy machine can blur."""

import subprocess
import sys

MOST = 350
"""Python and C calls per chat request with key, limits, routing, usage, ledger, metrics, log and tracing on."""


def test_a_chat_request_takes_few_calls():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calls"], capture_output=True, text=True, check=True, timeout=120
    )
    calls = int(done.stdout)
    print(f"{calls} calls per chat request (at most {MOST})")
    assert calls <= MOST
