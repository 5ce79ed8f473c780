"""The JSON Schema of a rule file, made from the types that read it, so that editors help and complain.

What a type reads from text (sizes, times, days) is text there too; what only the catalogue or the
configuration knows (providers, workloads, lists) is checked when a rule loads.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from monitor.judge import fields
from monitor.judge.fields import FIELDS, SUMMABLE
from monitor.judge.rule_file import RuleFile

_TIME = {"type": "string", "pattern": r"^(\d+(\.\d+)?\s*(ms|s|m|h|d|w))+$"}
_SIZE = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[A-Za-z]*$"},
    ]
}
_NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+(\.\d+)?$"}]}
# of what the types say of a key, what people write instead
_WRITTEN: dict[tuple[str, str], dict[str, Any]] = {
    **{
        (part, key): _TIME
        for part, keys in {
            "MeasureFile": ("window",),
            "NovelFile": ("learn", "forget"),
            "BaselineFile": ("history",),
            "RuleFile": ("resolve_after",),
        }.items()
        for key in keys
    },
    ("FireFile", "above"): _SIZE,
    ("NovelFile", "floor"): _SIZE,
    ("BaselineFile", "floor"): _SIZE,
    ("RatioFile", "floor"): _SIZE,
    ("BaselineFile", "deviations"): _NUMBER,
    ("RatioFile", "above"): _NUMBER,
    ("PeriodicFile", "jitter"): {"type": "string", "pattern": r"^\d{1,2}\s*%$"},
    ("PeriodicFile", "between"): {"type": "string", "pattern": "^.+-.+$"},
}


def rule_schema() -> dict[str, Any]:
    """Give the schema (JSON Schema draft 2020-12)."""
    schema = RuleFile.model_json_schema(schema_generator=_Generator)
    parts = {"RuleFile": schema, **schema["$defs"]}
    for (part, key), written in _WRITTEN.items():
        before = parts[part]["properties"][key]
        told = {name: before[name] for name in ("description", "title") if name in before}
        parts[part]["properties"][key] = {**told, **written}
    known = sorted({*FIELDS["flows"], *FIELDS["dns"]})
    schema["properties"]["match"] = {
        "type": "object",
        "properties": {name: {} for name in known},
        "additionalProperties": False,
    }
    groupable = sorted({*fields.groupable("flows"), *fields.groupable("dns")})
    measure = parts["MeasureFile"]["properties"]
    measure["per"]["items"] = {"enum": groupable}
    measure["sum"] = {"enum": sorted({*SUMMABLE["flows"], *SUMMABLE["dns"]})}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class _Generator(GenerateJsonSchema):
    """Leaves out defaults, which are as the program has them and not as people write them."""

    def default_schema(self, schema: Any) -> Any:
        """Give the schema of a key that has a default."""
        return self.generate_inner(schema["schema"])

    def is_instance_schema(self, schema: Any) -> Any:
        """Give the schema of what only the program has: it is written over later."""
        return {}
