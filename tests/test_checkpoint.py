"""Checkpoints: what is read is what was written, to the bit, or is refused by name."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval import checkpoint
from eval.checkpoint import (
    CHUNK_BYTES,
    CheckpointError,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
)
from train.__main__ import main

ROWS = 3 * CHUNK_BYTES // 8
"""Rows of 8 bytes that are cut into three chunks."""


def memory(start: int = 0) -> np.ndarray:
    """A replay memory in small: three chunks."""
    return np.arange(start, start + ROWS, dtype=np.int64)


def state(start: int = 0, lr: float = 0.1) -> dict[str, Any]:
    return {"agent": {"params": torch.arange(6.0).reshape(2, 3), "memory": {"ring": memory(start)}}, "lr": lr}


def assert_same(found: Any, expected: Any, name: str = "state") -> None:
    assert type(found) is type(expected), name
    if isinstance(expected, dict):
        assert list(found) == list(expected), name
        for key, value in expected.items():
            assert_same(found[key], value, f"{name}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), name
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{name}/{index}")
    elif isinstance(expected, torch.Tensor | np.ndarray):
        assert found.dtype == expected.dtype and found.shape == expected.shape, name
        assert np.asarray(found).tobytes() == np.asarray(expected).tobytes(), name
    else:
        assert found == expected or (found != found and expected != expected), name


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_loaded_is_what_was_saved_to_the_bit(tmp_path: Path):
    rng = np.random.default_rng(0)
    written = {
        "numbers": {"int": -3, "huge": 2**200, "float": 0.1, "tiny": 5e-324, "text": "a/b\n\u00e9", "none": None},
        "odd": [float("inf"), float("-inf"), float("nan"), -0.0, True, False],
        "empty": {"dict": {}, "list": [], "array": np.zeros((0, 3), np.float32), "text": ""},
        "nested": [{"a": [torch.ones(2), [np.array([1, 2], np.int16)]]}, []],
        "tensors": {
            str(dtype): torch.from_numpy(rng.integers(0, 2**8, (3, 4))).to(dtype)
            for dtype in (torch.uint8, torch.bool, torch.int64, torch.int32, torch.float32, torch.float64, torch.uint64)
        },
        "arrays": {
            name: rng.integers(0, 256, (2, 3, 8), np.uint8).view(name)
            for name in ("uint8", "int8", "int16", "uint16", "int64", "uint64", "float16", "float32", "float64")
        },
        "bools": np.array([True, False, True]),
        "nans": np.array([np.nan, -np.nan, np.inf, -0.0], np.float32),
        "single": {"array": np.array(3.5), "tensor": torch.tensor(7), "row": np.array([3.5])},
        "strided": {"array": np.arange(12).reshape(3, 4).T, "tensor": torch.arange(12.0).reshape(3, 4).T[::2]},
        "largest": np.array([2**64 - 1], np.uint64),
        "memory": np.random.default_rng(1).normal(size=(700, 1000)).astype(np.float32),
        "grown": torch.ones(2, 2, requires_grad=True),
    }
    assert written["memory"].nbytes > 2 * CHUNK_BYTES
    loaded = load_checkpoint(save_checkpoint(tmp_path, 5, written))
    assert_same(loaded, {**written, "grown": written["grown"].detach()})


def test_numpy_numbers_become_plain_ones_and_tuples_lists(tmp_path: Path):
    loaded = load_checkpoint(save_checkpoint(tmp_path, 5, {"a": np.float64(0.1), "b": (np.int64(3), np.bool_(True))}))
    assert_same(loaded, {"a": 0.1, "b": [3, True]})


def test_what_is_loaded_may_be_written_to(tmp_path: Path):
    loaded = load_checkpoint(save_checkpoint(tmp_path, 5, state()))
    loaded["agent"]["params"] += 1
    loaded["agent"]["memory"]["ring"] += 1


@pytest.mark.parametrize("bad", [{"a": object()}, {"a": {1: 2}}, {"a": {"b/c": 2}}, {"a": {3, 4}}, {"a": b"bytes"}])
def test_a_state_of_anything_else_is_refused(tmp_path: Path, bad: Any):
    with pytest.raises(TypeError, match=r"^a"):
        save_checkpoint(tmp_path, 5, bad)
    assert list_checkpoints(tmp_path) == []


def test_only_chunks_that_are_new_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written: list[str] = []
    write = checkpoint._write
    monkeypatch.setattr(checkpoint, "_write", lambda path, data: (written.append(path.parent.name), write(path, data)))
    save_checkpoint(tmp_path, 1, state())
    assert written.count("chunks") == 3
    changed = state()
    changed["agent"]["memory"]["ring"][-1] += 1
    written.clear()
    place = save_checkpoint(tmp_path, 2, changed)
    assert written.count("chunks") == 1
    assert len(list((tmp_path / "chunks").iterdir())) == 4
    assert_same(load_checkpoint(place), changed)
    assert_same(load_checkpoint(tmp_path / f"{1:012d}"), state())


def test_the_last_two_checkpoints_are_kept_and_older_chunks_forgotten(tmp_path: Path):
    for step in (10, 20, 30):
        save_checkpoint(tmp_path, step, state(start=step))
    assert [int(path.name) for path in list_checkpoints(tmp_path)] == [20, 30]
    assert len(list((tmp_path / "chunks").iterdir())) == 6
    for step in (20, 30):
        assert_same(load_checkpoint(tmp_path / f"{step:012d}"), state(start=step))
    assert newest_checkpoint(tmp_path).name == "000000000030"


def test_the_same_step_can_be_saved_again(tmp_path: Path):
    save_checkpoint(tmp_path, 10, state())
    save_checkpoint(tmp_path, 20, state())
    place = save_checkpoint(tmp_path, 20, state(lr=0.5))
    assert_same(load_checkpoint(place), state(lr=0.5))
    assert [int(path.name) for path in list_checkpoints(tmp_path)] == [10, 20]


def test_nothing_temporary_is_left(tmp_path: Path):
    for step in (10, 20, 20, 30):
        save_checkpoint(tmp_path, step, state(start=step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000020", "000000000030", "chunks"]
    for name in files_of(tmp_path):
        assert name.endswith(("manifest.json", ".safetensors")) and "/." not in name


def test_no_checkpoint_is_told_with_the_remedy(tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no checkpoint.*train it again"):
        newest_checkpoint(tmp_path / "nothing")


def test_parts_that_are_not_wanted_are_not_read(tmp_path: Path):
    place = save_checkpoint(tmp_path, 5, state())
    for chunk in (tmp_path / "chunks").iterdir():
        chunk.unlink()
    loaded = load_checkpoint(place, without=("agent/memory",))
    expected = state()
    del expected["agent"]["memory"]
    assert_same(loaded, expected)
    with pytest.raises(CheckpointError):
        load_checkpoint(place)
    # A name is a whole part, not the beginning of one.
    with pytest.raises(CheckpointError):
        load_checkpoint(place, without=("agent/mem", "age"))


def flip(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


DAMAGE = {
    "first byte flipped": lambda data: flip(data, 0),
    "a byte in the middle flipped": lambda data: flip(data, len(data) // 2),
    "last byte flipped": lambda data: flip(data, len(data) - 1),
    "cut in half": lambda data: data[: len(data) // 2],
    "last byte cut": lambda data: data[:-1],
    "a byte too many": lambda data: data + b"\0",
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "garbage": lambda data: np.random.default_rng(0).bytes(len(data)),
    "missing": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", ["manifest.json", "state.safetensors", "chunk"])
def test_damage_to_any_file_is_refused_and_named(tmp_path: Path, which: str, damage: str):
    save_checkpoint(tmp_path, 10, state())
    place = save_checkpoint(tmp_path, 20, state(start=1))
    newest = json.loads((place / "manifest.json").read_bytes())["content"]["chunked"]["agent/memory/ring"]
    path = tmp_path / "chunks" / f"{newest[1]}.safetensors" if which == "chunk" else place / which
    change = DAMAGE[damage]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(place)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert "--checkpoint 10" in message  # the remedy: the one before, which is whole
    assert_same(load_checkpoint(tmp_path / f"{10:012d}"), state())


def test_a_checkpoint_that_shares_the_damaged_chunk_is_no_remedy(tmp_path: Path):
    save_checkpoint(tmp_path, 10, state(start=1))
    save_checkpoint(tmp_path, 20, state())
    place = save_checkpoint(tmp_path, 30, state())
    for chunk in (tmp_path / "chunks").iterdir():
        chunk.unlink()
    with pytest.raises(CheckpointError, match="there is no other: train again"):
        load_checkpoint(place)


def test_any_flipped_byte_of_small_files_is_refused(tmp_path: Path):
    small = {"weights": torch.arange(4.0), "step": 3, "seed": [1, 2.5, None, "word"]}
    place = save_checkpoint(tmp_path, 20, small)
    for path in (place / "manifest.json", place / "state.safetensors"):
        data = path.read_bytes()
        for index in range(len(data)):
            path.write_bytes(flip(data, index))
            with pytest.raises(CheckpointError):
                load_checkpoint(place)
        path.write_bytes(data)
    assert_same(load_checkpoint(place), small)


def rewrite(place: Path, change: Any) -> None:
    """Changes a manifest and makes its checksum fit, as another version of the program would."""
    path = place / "manifest.json"
    content = change(json.loads(path.read_bytes())["content"])
    path.write_text(json.dumps({"sha256": checkpoint._digest(content), "content": content}))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_of_the_format_is_refused_with_its_number(tmp_path: Path, version: Any):
    place = save_checkpoint(tmp_path, 20, state())
    rewrite(place, lambda content: {**content, "format": version})
    with pytest.raises(CheckpointError, match=rf"manifest\.json has format {version}, .* reads format 1"):
        load_checkpoint(place)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "5", "{}", '{"content": {}}', '{"content": {}, "sha256": 5}', "[" * 100_000, "\ud800"]
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str):
    place = save_checkpoint(tmp_path, 20, state())
    (place / "manifest.json").write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(CheckpointError, match=r"manifest\.json.*train again"):
        load_checkpoint(place)


def without_key(key: str) -> Any:
    return lambda content: {name: value for name, value in content.items() if name != key}


STRANGE = {
    "nothing": lambda content: {},
    "a list": lambda content: [content],
    "a number": lambda content: 5,
    **{f"no {key}": without_key(key) for key in ("format", "files", "chunked", "tree")},
    "files are a number": lambda content: {**content, "files": 5},
    "chunks of nothing": lambda content: {**content, "chunked": {"agent/memory/ring": []}},
    "a tensor that is not there": lambda content: {**content, "tree": {"dict": {"lr": {"array": "nowhere"}}}},
    "an empty tree": lambda content: {**content, "tree": {}},
    "a tree of lists": lambda content: {**content, "tree": [[[]]]},
}


@pytest.mark.parametrize("change", STRANGE)
def test_a_manifest_of_another_form_is_refused_though_its_checksum_fits(tmp_path: Path, change: str):
    save_checkpoint(tmp_path, 10, state())
    place = save_checkpoint(tmp_path, 20, state(start=1))
    rewrite(place, STRANGE[change])
    with pytest.raises(CheckpointError, match=r"manifest\.json is not a manifest.*--checkpoint 10"):
        load_checkpoint(place)


@pytest.mark.parametrize("text", ["", "null", "{}", '{"content": 5}', "[" * 100_000])
def test_a_damaged_checkpoint_does_not_keep_the_next_from_being_saved(tmp_path: Path, text: str):
    place = save_checkpoint(tmp_path, 10, state())
    (place / "manifest.json").write_text(text)
    assert_same(load_checkpoint(save_checkpoint(tmp_path, 20, state(start=1))), state(start=1))


def test_a_huge_manifest_is_refused_unread(tmp_path: Path):
    place = save_checkpoint(tmp_path, 20, state())
    with open(place / "manifest.json", "r+b") as file:
        file.truncate(1 << 40)  # sparse: it takes no room
    with pytest.raises(CheckpointError, match="larger than"):
        load_checkpoint(place)


def test_a_file_larger_than_promised_is_refused_unread(tmp_path: Path):
    place = save_checkpoint(tmp_path, 20, state())
    with open(place / "state.safetensors", "r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="1,099,511,627,776 bytes instead of"):
        load_checkpoint(place)


class Interruption(OSError):
    pass


def calls_of(monkeypatch: pytest.MonkeyPatch, function: str, fail_at: int) -> list[int]:
    """Counts the calls of a function of os, and fails at one of them and all that follow."""
    original, calls = getattr(os, function), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > fail_at:
            raise Interruption(28, "No space left on device")
        return original(*args, **kwargs)

    monkeypatch.setattr(checkpoint.os, function, counted)
    return calls


@pytest.mark.parametrize("function", ["replace", "fsync", "open"])
def test_an_interrupted_save_leaves_the_checkpoints_that_were_there(tmp_path: Path, function: str):
    """Fails at every single call of a save, the last of them too."""
    with pytest.MonkeyPatch.context() as patch:
        calls = calls_of(patch, function, 10**9)
        save_checkpoint(tmp_path / "trial", 20, state(start=1))
        total = len(calls)
    assert total >= 2
    for fail_at in range(total):
        folder = tmp_path / str(fail_at)
        save_checkpoint(folder, 10, state())
        with pytest.MonkeyPatch.context() as patch:
            calls_of(patch, function, fail_at)
            try:
                save_checkpoint(folder, 20, state(start=1))
            except Interruption:
                pass
            else:
                # Flushing a folder is done where the system can; only that may fail without a word.
                assert function in ("fsync", "open")
        for path in list_checkpoints(folder):
            assert_same(load_checkpoint(path), state(start=0 if int(path.name) == 10 else 1))
        assert folder / f"{10:012d}" in list_checkpoints(folder)
        # The next save succeeds and clears away what was left.
        save_checkpoint(folder, 30, state(start=2))
        assert_same(load_checkpoint(newest_checkpoint(folder)), state(start=2))
        assert not [name for name in os.listdir(folder) if name.startswith(".")]
        assert not [name for name in os.listdir(folder / "chunks") if name.startswith(".")]


@pytest.mark.parametrize("fail_at", range(8))
def test_saving_a_step_again_never_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int):
    save_checkpoint(tmp_path, 10, state())
    replace, calls = os.replace, []

    def once(*args: Any) -> None:
        calls.append(1)
        if len(calls) == fail_at + 1:
            raise Interruption(5, "Input/output error")
        replace(*args)

    monkeypatch.setattr(checkpoint.os, "replace", once)
    try:
        save_checkpoint(tmp_path, 10, state(start=1))
        start = 1
    except Interruption:
        start = 0
    assert (start == 0) == (fail_at < 5)  # three chunks, the old one away, the new one in
    assert_same(load_checkpoint(newest_checkpoint(tmp_path)), state(start=start))


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_checkpoint(tmp_path, 10, state())

    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise Interruption(28, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, 20, state(start=1))
    assert [int(path.name) for path in list_checkpoints(tmp_path)] == [10]
    assert_same(load_checkpoint(newest_checkpoint(tmp_path)), state())


def test_a_replacement_that_was_killed_between_its_renames_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Killed(BaseException):
        """No handler of errors sees it, as none sees SIGKILL."""

    save_checkpoint(tmp_path, 10, state())
    replace = os.replace

    def kill(source: Path, target: Path) -> None:
        if source.name == ".writing" and target.name.isdigit():
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", kill)
        with pytest.raises(Killed):
            save_checkpoint(tmp_path, 10, state(start=1))
    assert list_checkpoints(tmp_path) == []
    assert_same(load_checkpoint(newest_checkpoint(tmp_path)), state())
    save_checkpoint(tmp_path, 20, state(start=2))
    assert sorted(os.listdir(tmp_path)) == ["000000000010", "000000000020", "chunks"]


def test_a_checkpoint_in_the_place_of_another_is_refused(tmp_path: Path):
    save_checkpoint(tmp_path, 10, state())
    place = save_checkpoint(tmp_path, 20, state(start=1))
    place.rename(tmp_path / f"{30:012d}")
    with pytest.raises(CheckpointError, match=r"manifest\.json is of step 20, though .* 30.*--checkpoint 10"):
        load_checkpoint(newest_checkpoint(tmp_path))


def test_a_run_that_an_earlier_version_wrote_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Its chunks do not name their place, and it lists episodes one by one; the format is the same."""
    run = tmp_path / "run"
    shutil.copytree(Path(__file__).parent / "fixtures" / "format-1", run)
    old = load_checkpoint(newest_checkpoint(run / "checkpoints"))
    assert isinstance(old["recent"], list) and old["step"] == 40
    assert main(["resume", str(run), "--steps", "60"]) == 0, capsys.readouterr().err
    new = load_checkpoint(newest_checkpoint(run / "checkpoints"))
    assert isinstance(new["recent"], dict) and new["step"] == 60
    # 20 more steps of each of 2 seeds: one that counts visits has not forgotten the 40 before.
    assert new["agent"]["visits"].sum() - old["agent"]["visits"].sum() == 2 * 20


def test_chunks_that_are_listed_again_and_again_are_refused(tmp_path: Path):
    place = save_checkpoint(tmp_path, 20, state())

    def repeated(content: dict[str, Any]) -> dict[str, Any]:
        content["chunked"]["agent/memory/ring"] *= 20  # of 3 MiB, 60
        return content

    rewrite(place, repeated)
    with pytest.raises(CheckpointError, match="lists the same chunks again and again"):
        load_checkpoint(place)


def test_a_tensor_that_is_referred_to_twice_is_refused(tmp_path: Path):
    place = save_checkpoint(tmp_path, 20, {"a": np.ones(3), "b": np.ones(3)})
    rewrite(place, lambda content: {**content, "tree": {"dict": {"a": {"array": "a"}, "b": {"array": "a"}}}})
    with pytest.raises(CheckpointError, match="is not a manifest of this format"):
        load_checkpoint(place)
