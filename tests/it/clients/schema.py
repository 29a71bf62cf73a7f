"""Are these documents what this schema says? Arguments: the schema, then the documents; the first bad one ends it."""

import json
import pathlib
import sys

import jsonschema

schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for name in sys.argv[2:]:
    body = pathlib.Path(name).read_bytes()
    if len(body) > schema["x-bytes"]:
        sys.exit(f"{name}: {len(body)} bytes, more than {schema['x-bytes']}")
    errors = sorted(validator.iter_errors(json.loads(body)), key=lambda error: list(error.path))
    if errors:
        told = [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:300]}" for error in errors]
        sys.exit(f"{name}: " + "\n".join(told))
print(len(sys.argv) - 2)
