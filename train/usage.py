"""From the command line to dataclasses: flags by tyro, values from a TOML file, and every mistake in one line."""

from __future__ import annotations

import dataclasses
import difflib
import sys
from collections.abc import Sequence
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro
from tyro import _errors as tyro_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
TOML_LIMIT = 64 << 10
"""Bytes above which a file holds no settings: parsed, each can take hundreds."""


class UsageError(ValueError):
    """A mistake on the command line or in a config file, in one line."""


def parse(target: type[T], argv: Sequence[str], *, prog: str, description: str = "", default: T | None = None) -> T:
    """Fills a dataclass from flags.

    Raises:
        UsageError: an unknown flag (with the nearest one), a missing or unusable value.
        SystemExit: 0 after printing `--help`.
    """

    def complain(event: tyro_errors.ParseErrorEvent) -> None:
        raise UsageError(_one_line(event, _flags(target), prog))

    options: dict[str, Any] = {} if default is None else {"default": default}
    with tyro_errors.on_parse_error(complain):
        return tyro.cli(target, args=list(argv), prog=prog, description=description or None, **options)


def from_toml(path: str, sections: Sequence[type[Any]]) -> list[dict[str, Any]]:
    """The values of a TOML file, sorted to the dataclasses whose fields they name.

    Raises:
        UsageError: the file cannot be read, is no TOML, or has a key that is no field.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(TOML_LIMIT + 1)
        if len(data) > TOML_LIMIT:
            raise UsageError(f"--config {path} has more than {TOML_LIMIT:,} bytes; expected settings, a few lines")
        values = tomllib.loads(data.decode())
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from None
    names = [get_type_hints(section) for section in sections]
    sorted_values: list[dict[str, Any]] = [{} for _ in sections]
    for key, value in values.items():
        name = key.replace("-", "_")
        for fields, chosen in zip(names, sorted_values, strict=True):
            if name in fields:
                chosen[name] = _of_kind(fields[name], value, f"--config {path}: {key}")
                break
        else:
            known = [name for fields in names for name in fields]
            raise UsageError(f"--config {path}: unknown key {key!r}; {nearest(key, known)}")
    return sorted_values


def parse_value(text: str) -> Any:
    """A value as TOML writes it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_pairs(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """KEY=VALUE words as a dictionary.

    Raises:
        UsageError: a word without "=".
    """
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"{flag} got {pair!r}; expected KEY=VALUE, such as observation=pixels")
        values[key] = parse_value(value)
    return values


def nearest(name: str, known: Sequence[str]) -> str:
    """A remedy for a name that does not exist."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {found[0]!r}?" if found else f"expected one of {', '.join(known)}"


def _flags(target: type[Any]) -> list[str]:
    """Every flag of a dataclass and of the dataclasses within it."""
    flags = ["--help"]
    for field in dataclasses.fields(target):
        inner: Any = getattr(field.type, "__origin__", field.type)  # what an Annotated[...] is about
        if isinstance(inner, type) and dataclasses.is_dataclass(inner):
            flags += _flags(inner)
        else:
            flags.append("--" + field.name.replace("_", "-"))
    return flags


def _one_line(event: tyro_errors.ParseErrorEvent, flags: Sequence[str], prog: str) -> str:
    if isinstance(event, tyro_errors.UnrecognizedArgs):
        for token in event.tokens:
            if token.startswith("-"):
                found = difflib.get_close_matches(token.split("=")[0].replace("_", "-"), flags, n=1, cutoff=0.4)
                return f"unknown flag {token}; " + (f"did you mean {found[0]}?" if found else f"see {prog} --help")
        return f"unexpected {event.tokens[0]!r}; see {prog} --help"
    if isinstance(event, tyro_errors.InstantiationFailure):
        flag = "" if event.argument is None else f"{'/'.join(event.argument.lowered.name_or_flags)}: "
        return flag + " ".join(event.message.partition(". Got errors")[0].split())
    if isinstance(event, tyro_errors.InvalidChoice):
        flag = event.argument.lowered.name_or_flags[0]
        return f"{flag} is {event.value!r}; {nearest(event.value, event.choices)}"
    if isinstance(event, tyro_errors.MissingArgs):
        lowered = [one.arg.lowered for one in event.missing_arguments]
        missing = ", ".join(arg.metavar or arg.name_or_flags[0] for arg in lowered)
        return f"missing: {missing}; see {prog} --help"
    try:
        title, contents = tyro_errors._render(event)
    except KeyError:
        return f"the command line cannot be understood; see {prog} --help"
    text = contents[0] if contents and isinstance(contents[0], str) else title
    return f"{' '.join(text.split()).rstrip('.:')}; see {prog} --help"


def _of_kind(kind: Any, value: Any, where: str) -> Any:
    """A TOML value as a field of that kind wants it: lists become tuples, and whole numbers are numbers."""
    if isinstance(value, list):
        value = tuple(value)
    if kind is float and type(value) is int:
        value = float(value)
    # A table stands for KEY=VALUE words.
    if not _is_kind(kind, value) and not (kind == tuple[str, ...] and isinstance(value, dict)):
        raise UsageError(f"{where} is {value!r}; expected {_kind_name(kind)}")
    return value


def _is_kind(kind: Any, value: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in inner
    if origin in (Union, UnionType):
        return any(_is_kind(one, value) for one in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_kind(inner[0], one) for one in value)
    return type(value) is kind


def _kind_name(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(repr(one) for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(_kind_name(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"a list: [{_kind_name(inner[0])}, ...]"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(kind, str(kind))


def early_value(flag: str, argv: Sequence[str]) -> str | None:
    """The value of a flag that must be known before the others are parsed, since it changes their defaults."""
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


def fail(message: str) -> None:
    """One line on stderr."""
    print(f"cartbot: {message}", file=sys.stderr)
