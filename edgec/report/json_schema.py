"""The JSON Schema of `report.json`, generated from the models: `python -m edgec.report.json_schema`."""

from __future__ import annotations

import json
from pathlib import Path

from edgec.report.files import SCHEMA_FILE
from edgec.report.schema import SCHEMA, Report


def json_schema() -> bytes:
    """The schema as UTF-8 JSON, draft 2020-12."""
    document = Report.model_json_schema(by_alias=True, mode="validation")
    required = ["schema", *document["required"]]
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        **document,
        "required": required,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def main() -> None:
    """Write the schema next to this file."""
    (Path(__file__).parent / SCHEMA_FILE).write_bytes(json_schema())


if __name__ == "__main__":
    main()
