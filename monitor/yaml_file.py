"""YAML files that people write: every mistake is told as ``file:line: what; the nearest right word``.

Plain PyYAML forgets lines and lets a duplicate key win silently. This reader keeps the line of each
key and value, refuses duplicates, and turns a pydantic ``ValidationError`` into one such line.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import yaml

from monitor.errors import InputError

MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 50  # levels of mappings and lists; libyaml's own recursion ends in a crash

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=pydantic.BaseModel)


@dataclass(frozen=True)
class Document:
    """One parsed file: its plain value, and for each place in it the line (from 1) it stands on."""

    path: Path
    value: Any
    lines: dict[Place, int]

    def where(self, place: Iterable[str | int] = ()) -> str:
        """Give ``file:line`` of the place, or of the nearest place above it that is in the file."""
        steps = tuple(place)
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return f"{self.path}:{self.lines.get(steps, 1)}"

    def error(self, place: Iterable[str | int], message: str) -> InputError:
        """Make the one-line error about a place in this file."""
        return InputError(f"{self.where(place)}: {message}")


# libyaml's, seven times faster, where PyYAML was built with it
_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPENING = (
    yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken, yaml.FlowSequenceStartToken,
)  # fmt: skip
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


class _Loader(_Fast):  # type: ignore[misc]
    """Safe loader that leaves dates alone: ``2027-03-31`` stays text until a type wants a date."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Document:
    """Read one YAML document.

    Raises InputError where the file cannot be read, is too large, is not YAML, holds a key twice,
    or uses aliases (a short file with nested aliases can stand for gigabytes).
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from error
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Parse YAML text that came from ``path``; raises InputError as `read` does."""
    lines: dict[Place, int] = {}
    loader = _Loader(text)
    try:
        _refuse_bombs(text, path)
        node = loader.get_single_node()
        value = None if node is None else _build(loader, node, (), lines, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"{path}:{line}: not YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError) as error:  # `!!timestamp x`
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}:1: not YAML: {reason}") from error
    finally:
        loader.dispose()
    return Document(path, value, lines)


def _refuse_bombs(text: str, path: Path) -> None:
    """Refuse what is small to write and large to build, before anything is built."""
    depth = 0
    for token in yaml.scan(text, Loader=_Fast):
        if isinstance(token, yaml.AliasToken):
            raise InputError(f"{path}:{token.start_mark.line + 1}: aliases (*) are not allowed")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise InputError(f"{path}:{token.start_mark.line + 1}: nested deeper than {MAX_DEPTH} levels")


def _build(loader: _Loader, node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str | int):
                raise InputError(f"{path}:{line}: a key must be text, not {key!r}")
            if key in mapping:
                raise InputError(f"{path}:{line}: {key!r} stands here twice")
            lines[(*place, key)] = line
            mapping[key] = _build(loader, value_node, (*place, key), lines, path)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, item, (*place, index), lines, path) for index, item in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def nearest(word: str, known: Iterable[str]) -> str:
    """Give ``; did you mean 'x'?`` for the known word nearest to this one, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def validate(document: Document, model: type[Model]) -> Model:
    """Check a document against a pydantic model (which should forbid extra keys).

    Raises InputError about the first mistake in the order of the file.
    """
    value = {} if document.value is None else document.value
    if not isinstance(value, dict):
        raise document.error((), f"expected keys and values, found {type(value).__name__}")
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as error:
        # a misspelt key is also a missing one, and the misspelling says more
        problems = [
            (problem["type"] == "missing", *_tell(document, model, value, problem))
            for problem in error.errors()
        ]
        _, line, message = min(problems)
        raise InputError(f"{document.path}:{line}: {message}") from error


def _tell(document: Document, model: type[pydantic.BaseModel], value: Any, problem: Any) -> tuple[int, str]:
    # pydantic puts tags of unions into the location; only steps that the file has are kept
    place: Place = ()
    here = value
    for step in problem["loc"]:
        if (isinstance(here, dict) and step in here) or (isinstance(here, list) and step in range(len(here))):
            place = (*place, step)
            here = here[step]
    line = int(document.where(place).rsplit(":", 1)[1])
    name = ".".join(str(step) for step in place) or "the file"
    if problem["type"] == "extra_forbidden":
        word = str(problem["loc"][-1])
        return line, f"unknown key {word!r}{nearest(word, _keys_beside(model, problem['loc']))}"
    if problem["type"] == "missing":
        return line, f"{problem['loc'][-1]!r} is missing in {name}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return line, f"{name}: {message}"


def _keys_beside(model: type[pydantic.BaseModel], loc: Place) -> list[str]:
    """Give the keys that the model allows where the unknown one stood."""
    current: Any = model
    for step in loc[:-1]:
        fields = getattr(current, "model_fields", {})
        if step in fields:
            current = _model_in(fields[step].annotation)
    fields = getattr(current, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _model_in(annotation: Any) -> Any:
    """Find the pydantic model inside an annotation such as ``list[Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
