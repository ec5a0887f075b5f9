"""Checkpoints: tensors as safetensors beside a JSON manifest with a SHA-256 per file, written whole or not at all.

A checkpoint is a folder `checkpoints/STEP`. It is written beside its place, flushed to the disk and renamed; the one
before it is kept. Large tensors, such as a replay memory, are cut along their first axis into chunks that are named by
their content and shared between checkpoints, so that only what is new is written. Reading runs no code and trusts no
number: sizes and hashes are compared before anything is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from agents.lazy import torch
from eval.reading import check_cost, parse_json, read_json

FORMAT = 1
"""Version of the format; a reader refuses any that it does not know."""
KEPT = 2
"""Checkpoints that are kept: the newest and the one before."""
CHUNK_BYTES = 1 << 20
"""Tensors above twice this size are cut into chunks of about it."""
MANIFEST_LIMIT = 64 << 20
"""Bytes above which a manifest is no manifest."""
REPEATED = 32 << 20
"""Bytes of chunks that may be listed again, as those of empty memories were once."""

MANIFEST, STATE, CHUNKS = "manifest.json", "state.safetensors", "chunks"
WRITING, REPLACED = ".writing", ".replaced-"


_STRANGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading JSON of another form than expected may raise."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: names the file, the cause and the remedy."""


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes `state`, nested dictionaries and lists of tensors, arrays and plain values, as `folder`/STEP.

    Interrupted at any moment, the checkpoints that were there are intact.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    chunks = folder / CHUNKS
    chunks.mkdir(parents=True, exist_ok=True)
    _put_back(folder)
    tensors: dict[str, NDArray[Any]] = {}
    files: dict[str, dict[str, Any]] = {}
    tree = _encode(state, "", tensors)
    pieces = {}
    for name in [name for name, array in tensors.items() if array.nbytes > 2 * CHUNK_BYTES]:
        array = tensors.pop(name)
        rows = max(1, len(array) * CHUNK_BYTES // array.nbytes)
        pieces[name] = []
        for start in range(0, len(array), rows):
            # With its place, so that no two are the same; in one entry, as several come in a random order.
            where = {"place": f"{name} {start}"}
            data = save_tensors({"rows": np.ascontiguousarray(array[start : start + rows])}, metadata=where)
            digest = hashlib.sha256(data).hexdigest()
            path = chunks / f"{digest}.safetensors"
            if not path.exists():
                _write(chunks / WRITING, data)
                os.replace(chunks / WRITING, path)
            files[f"{CHUNKS}/{path.name}"] = {"sha256": digest, "bytes": len(data)}
            pieces[name].append(digest)
    _sync(chunks)
    writing = folder / WRITING
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir()
    data = save_tensors(tensors)
    _write(writing / STATE, data)
    files[STATE] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    content = {"format": FORMAT, "step": step, "files": files, "chunked": pieces, "tree": tree}
    manifest = json.dumps({"sha256": _digest(content), "content": content}).encode()
    check_cost(manifest)
    _write(writing / MANIFEST, manifest)
    _sync(writing)
    place = folder / f"{step:012d}"
    aside = folder / f"{REPLACED}{place.name}"
    if place.exists():  # the same step once more
        os.replace(place, aside)
    try:
        os.replace(writing, place)
    except OSError:
        _put_back(folder)
        raise
    _sync(folder)
    shutil.rmtree(aside, ignore_errors=True)
    _forget(folder)
    return place


def load_checkpoint(path: Path, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The state that `save_checkpoint` wrote.

    Args:
        path: folder of one checkpoint.
        without: names of parts that are not wanted, and not read: "agent/memory".

    Raises:
        CheckpointError: something is missing, damaged or of an unknown format.
    """
    manifest = path / MANIFEST
    try:
        if manifest.stat().st_size > MANIFEST_LIMIT:
            raise CheckpointError(_message(manifest, f"is larger than {MANIFEST_LIMIT:,} bytes", path))
        outer = parse_json(manifest.read_bytes())
        content, digest = outer["content"], outer["sha256"]
        found = _digest(content)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(_message(manifest, error.strerror or "cannot be read", path)) from None
    except _STRANGE:
        raise CheckpointError(_message(manifest, "is not a manifest", path)) from None
    if found != digest:
        raise CheckpointError(_message(manifest, "does not match its own checksum", path))
    try:
        return _restore(content, path, set(without))
    except CheckpointError:
        raise
    except _STRANGE:
        raise CheckpointError(_message(manifest, "is not a manifest of this format", path)) from None


def _restore(content: dict[str, Any], path: Path, without: Collection[str]) -> dict[str, Any]:
    """The state of the checkpoint at `path`, whose manifest has this content."""
    if content["format"] != FORMAT:
        raise CheckpointError(
            f"{path / MANIFEST} has format {content['format']}, and this version reads format {FORMAT}; "
            f"use the version of cartbot that wrote it"
        )
    if content["step"] != int(path.name):
        cause = f"is of step {content['step']}, though its folder says {int(path.name)}"
        raise CheckpointError(_message(path / MANIFEST, cause, path))
    needed = {name for name in content["chunked"] if not _is_within(name, without)}
    _check_repeats(content, needed, path)
    tensors = _read(path / STATE, content["files"][STATE], path)
    for name in needed:
        rows = []
        for digest in content["chunked"][name]:
            file = f"{CHUNKS}/{digest}.safetensors"
            rows.append(_read(path.parent / file, content["files"][file], path)["rows"])
        tensors[name] = np.concatenate(rows)
    return _decode(content["tree"], "", tensors, without)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.isdigit() and path.is_dir())


def newest_checkpoint(folder: Path) -> Path:
    """The latest checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    _put_back(folder)
    found = list_checkpoints(folder)
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoint; the run was stopped before its first: train it again")
    return found[-1]


def forget_later(path: Path) -> None:
    """Removes the checkpoints after this one, which another way of the run is to take the place of."""
    for later in list_checkpoints(path.parent):
        if int(later.name) > int(path.name):
            shutil.rmtree(later)
    _sync(path.parent)


def _encode(value: Any, name: str, tensors: dict[str, NDArray[Any]]) -> Any:
    """A JSON tree of `value`; tensors and arrays go to `tensors` under their names, PART/PART."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or "/" in key:
                raise TypeError(f"{name}: key {key!r}; expected a string without a slash")
        return {"dict": {key: _encode(item, f"{name}/{key}" if name else key, tensors) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_encode(item, f"{name}/{index}", tensors) for index, item in enumerate(value)]}
    if isinstance(value, np.ndarray):
        tensors[name] = np.asarray(value, order="C")  # not ascontiguousarray, which makes a number a row
        return {"array": name}
    if isinstance(value, torch.Tensor):
        tensors[name] = np.asarray(value.detach().cpu().numpy(), order="C")
        return {"tensor": name}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    if isinstance(value, np.generic):
        return {"value": value.item()}
    raise TypeError(f"{name} is a {type(value).__name__}; a checkpoint holds tensors, arrays and plain values")


def _decode(tree: Any, name: str, tensors: dict[str, NDArray[Any]], without: Collection[str]) -> Any:
    (kind, inner), *_ = tree.items()
    if kind == "dict":
        named = ((key, f"{name}/{key}" if name else key, item) for key, item in inner.items())
        return {key: _decode(item, full, tensors, without) for key, full, item in named if full not in without}
    if kind == "list":
        return [_decode(item, f"{name}/{index}", tensors, without) for index, item in enumerate(inner)]
    if kind == "array":
        return tensors.pop(inner).copy()  # each once, or a small file could ask for much memory
    if kind == "tensor":
        return torch.from_numpy(tensors.pop(inner).copy())
    return inner


def _check_repeats(content: dict[str, Any], names: Collection[str], path: Path) -> None:
    """Refuses chunks that are listed so often that they would take far more memory than the disk."""
    listed = [digest for name in names for digest in content["chunked"][name]]
    sizes = {digest: content["files"][f"{CHUNKS}/{digest}.safetensors"]["bytes"] for digest in set(listed)}
    if sum(sizes[digest] for digest in listed) > 2 * sum(sizes.values()) + REPEATED:
        raise CheckpointError(_message(path / MANIFEST, "lists the same chunks again and again", path))
    for digest in sizes:
        if len(digest) != 64 or not digest.isalnum():
            raise CheckpointError(_message(path / MANIFEST, f"lists {digest[:70]!r}, which is no chunk's name", path))


def _is_within(name: str, parts: Collection[str]) -> bool:
    return any(name == part or name.startswith(f"{part}/") for part in parts)


def _read(path: Path, expected: dict[str, Any], place: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file of the checkpoint at `place`, once its size and hash are what the manifest says."""
    try:
        # The size first: nothing larger than promised is ever brought into memory.
        if path.stat().st_size != expected["bytes"]:
            cause = f"has {path.stat().st_size:,} bytes instead of {expected['bytes']:,}"
            raise CheckpointError(_message(path, cause, place))
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(_message(path, error.strerror or "cannot be read", place)) from None
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise CheckpointError(_message(path, "does not match its checksum", place))
    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(_message(path, f"is not a safetensors file ({error})", place)) from None


def _message(path: Path, cause: str, place: Path) -> str:
    """What is wrong with a file of the checkpoint at `place`, and the newest other that does without that file."""
    others = [p.name for p in list_checkpoints(place.parent) if p != place and path.name not in _chunks_of(p)]
    remedy = f"the checkpoint of step {int(others[-1])} is beside it: --checkpoint {int(others[-1])}" if others else ""
    return f"damaged checkpoint: {path} {cause}; {remedy or 'there is no other: train again'}"


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Makes renames in a folder last, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _put_back(folder: Path) -> None:
    """Undoes a replacement that was interrupted between its two renames; forgets what one that succeeded left."""
    for aside in folder.glob(f"{REPLACED}*"):
        place = folder / aside.name.removeprefix(REPLACED)
        if place.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(aside, place)


def _forget(folder: Path) -> None:
    """Removes all but the newest checkpoints, and the chunks that only the others used."""
    kept = list_checkpoints(folder)
    for path in kept[:-KEPT]:
        shutil.rmtree(path, ignore_errors=True)
    used = {file for path in kept[-KEPT:] for file in _chunks_of(path)}
    for path in (folder / CHUNKS).iterdir():
        if path.name not in used:
            path.unlink(missing_ok=True)


def _chunks_of(path: Path) -> Iterator[str]:
    with contextlib.suppress(OSError, *_STRANGE):
        for name in read_json(path / MANIFEST, MANIFEST_LIMIT)["content"]["files"]:
            if name.startswith(f"{CHUNKS}/"):
                yield name.split("/")[1]
