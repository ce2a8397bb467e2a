"""Write the JSON schemas of the parameter files, generated from their types in fer/params/.

    python workflow/scripts/schemas.py

Snakemake validates its configuration with them, and editors complete and check the YAML files by them.
"""

import json
from pathlib import Path

from fer.params import SCHEMAS

FOLDER = Path(__file__).parents[1] / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[Path, str]:
    """Return the text of every schema file."""
    return {
        FOLDER / f"{name}.schema.json": json.dumps(
            {"$schema": DIALECT} | model.model_json_schema(), indent=2, ensure_ascii=False
        )
        + "\n"
        for name, model in SCHEMAS.items()
    }


if __name__ == "__main__":
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")
        print(path)
