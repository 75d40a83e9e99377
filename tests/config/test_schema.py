import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.config import document, model
from gateway.config.catalogue import data_file
from gateway.config.fields import Part
from gateway.config.schema import schema_text
from providers.types import Quirks

SCHEMA: dict[str, Any] = json.loads(schema_text())


def test_the_shipped_schema_is_fresh() -> None:
    shipped = data_file("schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(), "run: python -m gateway.config.schema > config/schema.json"


def test_editors_accept_the_example_and_find_a_typing_error_in_it() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    checker = Draft202012Validator(SCHEMA)
    example = data_file("fairlead.yaml").read_text(encoding="utf-8")
    assert example.startswith("# yaml-language-server: $schema=schema.json\n")
    assert not list(checker.iter_errors(document.read(example).data))
    for old, new in (
        ("policy:", "polcy:"),
        ("{connect: 2s", "{connect: soon"),
        ("env:FAIRLEAD_DEMO_KEY", "sk-123"),
    ):
        assert list(checker.iter_errors(document.read(example.replace(old, new)).data))


def test_every_field_is_described() -> None:
    parts = {**SCHEMA["$defs"], "RoutingFile": SCHEMA}
    known = {one.__name__: one for kind in Part.__subclasses__() for one in (kind, *kind.__subclasses__())}
    missing = [
        f"{name}.{field}"
        for name, part in parts.items()
        for field in part["properties"]
        if not known[name].model_fields[field].description
    ]
    assert not missing
    assert all(part["description"] for part in parts.values())


def test_a_provider_may_write_every_quirk_there_is() -> None:
    assert tuple(model.Quirks.model_fields) == Quirks.__struct_fields__


@pytest.mark.parametrize("field", ["seconds", "min_seconds", "max_seconds", "sizes", "inputs"])
def test_a_target_may_write_every_video_limit_there_is(field: str) -> None:
    assert field in model.Target.model_fields
