"""Files that are larger than what they should hold, or would be once they are read."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from eval.compare import training_pairs
from eval.reading import LINE_LIMIT, TooLargeError, parse_json, read_json, read_rows
from eval.runs import RunConfig, create_run, find_run


def test_json_of_many_objects_is_refused_and_long_text_is_not():
    assert parse_json(b'{"a": [1, "b"]}') == {"a": [1, "b"]}
    objects = b"[" + b"{}," * 200_000 + b"0]"  # 370 bytes each for a brace and a comma: 74 MB
    with pytest.raises(TooLargeError, match=r"600,003 bytes of JSON that could take 74,000,120 bytes"):
        parse_json(objects)
    assert len(parse_json(b'"' + b"x" * len(objects) + b'"')) == len(objects)


def test_a_file_beyond_its_limit_is_not_read(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps("x" * 98))
    assert read_json(path, 100) == "x" * 98
    with pytest.raises(TooLargeError, match="more than 99 bytes"):
        read_json(path, 99)
    with pytest.raises(TooLargeError):
        read_json(Path("/dev/zero"), 99)


def test_rows_are_read_by_name_and_lines_without_end_are_refused(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,\0two\n3\n")
    assert list(read_rows(path)) == [{"a": "1", "b": "two"}, {"a": "3", "b": None}]
    path.write_text("a,b\n" + "1," * LINE_LIMIT)
    with pytest.raises(csv.Error, match=r"line 2 has 131,072 characters or more"):
        list(read_rows(path))


def test_first_and_last_episodes_of_training_are_counted_a_third_of_them_each(tmp_path: Path):
    path = tmp_path / "episodes.csv"
    rows = [f"{seed},go +1 x {number}" for number in (1, 2, 4, 8, 16, 32) for seed in (0, 1)]
    path.write_text("\n".join(["seed,action_rewards", *rows, "7,go +1 x 1000", "0", ""]))
    (first, [pairs]), (last, [later]) = training_pairs(path, 2)
    assert first == "first 2 training episodes of each seed" and pairs == ("go", 1.0, 2 * (1 + 2))
    # Seed 0 has a half-written row at its end, which counts as an episode of which nothing is known.
    assert last == "last 2 training episodes of each seed" and later == ("go", 1.0, 32 + 16 + 32)
    assert training_pairs(path, 3) == []  # a seed that finished no episode
    assert training_pairs(tmp_path / "none.csv", 2) == []


@pytest.mark.parametrize("name", ["metrics.csv", "checkpoints/chunks", "eval"])
def test_a_run_with_a_link_in_it_is_refused_and_one_that_is_a_link_is_not(tmp_path: Path, name: str):
    run = create_run(RunConfig(agent="random", env="CartPole-v1"), tmp_path / "run")
    (tmp_path / "other").symlink_to(run.folder)
    assert find_run(str(tmp_path / "other")).config == run.config
    (run.folder / name).parent.mkdir(exist_ok=True)
    (run.folder / name).symlink_to(tmp_path)
    with pytest.raises(ValueError, match=rf"^damaged run: .*{name} is a symbolic link; put what it points at"):
        find_run(str(run.folder))


def test_a_config_that_is_too_large_is_refused(tmp_path: Path):
    run = create_run(RunConfig(agent="random", env="CartPole-v1"), tmp_path / "run")
    (run.folder / "config.json").write_text('{"schema": 1, "agent": "' + "x" * 300_000 + '"}')
    with pytest.raises(
        ValueError, match=r"^damaged run: .*config.json is not a run's config .*more than 262,144 bytes"
    ):
        find_run(str(run.folder))
