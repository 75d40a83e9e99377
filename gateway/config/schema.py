"""The JSON Schema of the routing file: `python -m gateway.config.schema > config/schema.json`."""

import json
import sys

from gateway.config.model import RoutingFile


def schema_text() -> str:
    """The schema as it is shipped in config/schema.json."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **RoutingFile.model_json_schema()}
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
