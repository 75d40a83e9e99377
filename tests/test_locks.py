"""The locks agree: each is installed over the one before it, without a look at what that one brought."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==([^\s;]+)", re.MULTILINE)


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall((REQUIREMENTS / f"{name}.txt").read_text()))


@pytest.mark.parametrize(("upper", "lower"), [("dev", "runtime"), ("ray", "dev")])
def test_what_two_locks_hold_they_hold_alike(upper: str, lower: str) -> None:
    held, below = pins(upper), pins(lower)
    assert len(held.keys() & below.keys()) > 50
    assert {
        name: (version, below[name]) for name, version in held.items() if below.get(name, version) != version
    } == {}
