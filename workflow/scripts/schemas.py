"""Write the JSON schemas of the parameter files, generated from their types in fer/params/.

    python workflow/scripts/schemas.py

Snakemake validates its configuration with them, and editors complete and check the YAML files by them.
"""

import json
import re
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema

from fer.params import SCHEMAS

FOLDER = Path(__file__).parents[1] / "schemas"
INNERMOST = re.compile(r"\[[^][]*\]|\{[^{}]*\}")  # lists and objects that hold no other
WIDTH = 110  # of one that is written in a line


class Plain(GenerateJsonSchema):
    """Schemas without titles, which would repeat every name, and with `"type": [T, "null"]` for what may be null."""

    def field_title_should_be_set(self, schema) -> bool:
        return False

    def model_schema(self, schema) -> dict:
        described = super().model_schema(schema)
        described.pop("title")
        return described

    def nullable_schema(self, schema) -> dict:
        inner = self.generate_inner(schema["schema"])
        if not isinstance(inner.get("type"), str) or "enum" in inner:
            return super().nullable_schema(schema)
        return inner | {"type": [inner["type"], "null"]}


def readable(schema: dict) -> str:
    """Return a schema as JSON text, with short lists and objects in one line each."""
    text = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return INNERMOST.sub(in_one_line, INNERMOST.sub(in_one_line, text))


def in_one_line(found: re.Match) -> str:
    """Return a list or object without line ends, which no string of JSON holds, unless it is long."""
    line = re.sub(r"\s*\n\s*", " ", found[0])
    return line if len(line) <= WIDTH else found[0]


def schemas() -> dict[Path, str]:
    """Return the text of every schema file."""
    texts = {}
    for name, model in SCHEMAS.items():
        schema = {"$schema": Plain.schema_dialect} | model.model_json_schema(schema_generator=Plain)
        if "variant_of" in schema["properties"]:  # a variant's file says only what it changes
            schema["anyOf"] = [{"required": ["variant_of"]}, {"required": schema.pop("required")}]
        texts[FOLDER / f"{name}.schema.json"] = readable(schema)
    return texts


if __name__ == "__main__":
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")
        print(path)
