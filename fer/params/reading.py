"""Reading parameter files: every mistake is an error that names file, key, what was given and what is allowed."""

from __future__ import annotations

import ast
import difflib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ValidationError, create_model

from fer.errors import FerError
from fer.params.base import Fraction, Positive, Seed, Side, Strict, valid_name

Model = TypeVar("Model", bound=Strict)
OF_A_UNION = re.compile(r"(constrained-)?(float|list\[.+\])")  # where pydantic names the type it tried, not a key


def known(path: Path, kind: str, where: str = "") -> Path:
    """Return the parameter file `path` if it exists; otherwise name those of its kind that do."""
    try:
        valid_name(path.stem)
    except ValueError as error:
        raise FerError(f"{where}{kind} {error}") from None
    if path.exists():
        return path
    if not path.parent.exists():
        raise FerError(f"{where}there is no folder {path.parent} here: call fer in the project's folder")
    names = sorted(file.stem for file in path.parent.glob("*.yaml"))
    raise FerError(
        f"{where}unknown {kind} {path.stem!r}{suggestion(path.stem, names)}. "
        f"Known: {listing(names)} (files in {path.parent}/)"
    )


def load(model: type[Model], path: Path) -> Model:
    """Return what a parameter file says, checked against its model."""
    return check(model, mapping(path), path)


def mapping(path: Path) -> dict[str, Any]:
    """Return what a parameter file says, unchecked."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FerError(f"{path} cannot be read: {error}") from error
    try:
        values = parse(text)
    except yaml.YAMLError as error:
        raise FerError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        given = "nothing: the file is empty" if values is None else f"a {type(values).__name__}"
        raise FerError(f"{path}: expected a mapping of keys to values (title: …), given {given}")
    return values


@lru_cache(maxsize=512)
def parse(text: str) -> Any:
    """Return what a YAML text says; a study parses the same ones hundreds of times, and changes none."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 — both are safe


def check(model: type[Model], values: dict, path: Path, key: str = "") -> Model:
    """Return values as `model`; a mistake is a `FerError` that names the file `path` and the key (below `key`)."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise FerError(explain(error, model, path, key)) from error


def explain(error: ValidationError, model: type[BaseModel], path: Path, prefix: str = "") -> str:
    """One line for each mistake: file, key, what was given, what is allowed."""
    lines: dict[str, str] = {}
    for item in error.errors():
        location = [str(part) for part in item["loc"] if not OF_A_UNION.fullmatch(str(part))]
        key = ".".join([prefix, *location] if prefix else location) or "(whole file)"
        if item["type"] == "extra_forbidden":
            allowed = list(fields_at(model, location[:-1]))
            lines.setdefault(
                key, f"{path}: unknown key {key!r}{suggestion(location[-1], allowed)}. Allowed: {listing(allowed)}"
            )
        elif item["type"] == "missing":
            lines.setdefault(key, f"{path}: the key {key!r} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = f"given {item['input']!r}; " if not isinstance(item["input"], dict) else ""
            lines.setdefault(key, f"{path}: {key}: {given}{message[0].lower()}{message[1:]}")
    return "\n".join(lines.values())


def fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Return the keys allowed at `location` of `model`, looking through containers and unions."""
    found = [model]
    for part in location:
        inside: list[type[BaseModel]] = []
        for candidate in found:
            if part in candidate.model_fields:
                inside += models_in(candidate.model_fields[part].annotation)
        found = inside or found
    return sorted({name for candidate in found for name in candidate.model_fields})


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that an annotation names, inside lists, mappings and unions too."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in models_in(argument)]


def suggestion(given: str, allowed: list[str]) -> str:
    """Return " (did you mean …?)" with the allowed name that is closest, or "" where none is close."""
    close = difflib.get_close_matches(given, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def listing(names) -> str:
    """Return names in alphabetical order, separated by commas; "none" where there is none."""
    return ", ".join(sorted(names)) or "none"


def constructor(package: Path, name: str, asking: Path) -> type[Strict]:
    """Return the model of a registered class's own options, read from its constructor without importing it.

    The options are the keyword-only arguments of the class decorated with `@register` in the package's module `name`
    (a system's architecture, an adapter's options). `asking` is the parameter file that wants it.
    """
    path = package / f"{name}.py"
    if not path.exists():
        raise FerError(f"{asking} has no module: {path} does not exist")
    options = options_in(path.read_text(encoding="utf-8"))
    if options is None:
        raise FerError(f"{path} has no class decorated with @register")
    return options


@lru_cache(maxsize=128)
def options_in(source: str) -> type[Strict] | None:
    """Return the model of the options of the class decorated with `@register` in a module's source."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and any(ast.unparse(item) == "register" for item in node.decorator_list):
            return create_model(node.name, __base__=Strict, **keyword_arguments(node))
    return None


def keyword_arguments(definition: ast.ClassDef) -> dict[str, tuple]:
    """Return name: (type, default) of the keyword-only arguments of a class's constructor, if it has its own.

    An inherited constructor has no options. An annotation is made of Python's own types (`bool`, `int`, `float`, `str`,
    `list[int]`, `int | None`), `Literal`, and `Fraction`, `Positive`, `Seed` and `Side` of `fer.params.base`.

    Raises:
        FerError: an annotation names another type.
    """
    init = next((i for i in definition.body if isinstance(i, ast.FunctionDef) and i.name == "__init__"), None)
    names = {"Literal": Literal, "Fraction": Fraction, "Positive": Positive, "Seed": Seed, "Side": Side}
    arguments = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True) if init else ()
    try:
        return {
            argument.arg: (
                eval(ast.unparse(argument.annotation), dict(names)),  # noqa: S307 — our own source, never a user's text
                ... if default is None else ast.literal_eval(default),
            )
            for argument, default in arguments
        }
    except (NameError, AttributeError, TypeError, ValueError) as error:
        raise FerError(
            f"{definition.name}: in the annotation of an option, {error}. Expected Python's own types, such as "
            f"int | None, or {', '.join(names)}"
        ) from error
