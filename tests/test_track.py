"""Tracks: what is built in drives, and what is not fit to drive on is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from envs.track import Track, beside, distance_to_segments, generated, is_enclosed, load_track, outline, track1
from envs.track_files import read_map, region_walls

SQUARE = outline([(0, 0), (4, 0), (4, 4), (0, 4)])
LOOP = np.array([[1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [3.0, 1.0]])


def write_map(folder: Path, pixels: np.ndarray | None = None, image: str = "map.png", **keys: Any) -> Path:
    """A map of 40 x 30 pixels, free but for a border of 2 pixels, at 0.1 m, unless told otherwise."""
    if pixels is None:
        pixels = np.zeros((30, 40), np.uint8)
        pixels[2:-2, 2:-2] = 255
    Image.fromarray(pixels).save(folder / image)
    text = {
        "image": image,
        "resolution": 0.1,
        "origin": "[-1.0, 2.0, 0.0]",
        "occupied_thresh": 0.65,
        "free_thresh": 0.196,
        "negate": 0,
    }
    text |= keys
    file = folder / "map.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in text.items() if value is not None))
    return file


def test_track1_is_a_circuit_of_32_m_with_room_for_the_robot():
    track = track1()
    assert track.length() == 32.0
    assert track.bounds() == (0.4, 0.4, 9.6, 9.6)
    assert track.with_room_for(0.2) is track
    assert distance_to_segments(track.circuit, track.walls).min() == pytest.approx(0.6)


@pytest.mark.parametrize("seed", range(10))
def test_generated_tracks_are_the_same_each_time_and_drivable(seed: int):
    track = generated(seed)
    np.testing.assert_array_equal(track.walls, load_track(f"generated:{seed}").walls)
    track.with_room_for(0.2)
    assert is_enclosed(track.circuit, track.walls).all()


def test_generated_tracks_differ_from_seed_to_seed():
    assert len({generated(seed).length() for seed in range(20)}) == 20


def test_a_mitred_parallel_keeps_its_distance():
    inner = beside(LOOP, -0.5)  # clockwise, so that the right is inside
    np.testing.assert_allclose(inner, [[1.5, 1.5], [1.5, 2.5], [2.5, 2.5], [2.5, 1.5]])


@pytest.mark.parametrize(
    ("walls", "circuit", "complaint"),
    [
        (SQUARE[:3], LOOP, "walls are open at"),
        (np.vstack([SQUARE, outline([(1.5, 1.5), (2.5, 2.5), (2.5, 1.5), (1.5, 2.5)])]), LOOP, "walls cross near"),
        (np.vstack([SQUARE, SQUARE]), LOOP, "walls cross near"),
        (SQUARE, LOOP[[0, 2, 1, 3]], "circuit crosses itself"),
        (SQUARE, LOOP + 10.0, "not enclosed"),
        (SQUARE, LOOP * 2.0, "circuit runs into a wall"),
        (SQUARE[:2], LOOP, "closed outline"),
        (SQUARE * np.nan, LOOP, "finite numbers"),
        (SQUARE, LOOP[:2], "at least 3"),
        (SQUARE, np.zeros((0, 2)), "nowhere to start"),
        (outline([(0, 0), (4, 0), (4, 0), (0, 4)]), LOOP, "no length"),
    ],
)
def test_bad_tracks_are_refused(walls: np.ndarray, circuit: np.ndarray, complaint: str):
    with pytest.raises(ValueError, match=complaint) as error:
        Track(name="bad", walls=walls, circuit=circuit)
    assert "\n" not in str(error.value)


def test_a_robot_too_large_for_the_corridor_is_refused():
    with pytest.raises(ValueError, match=r"radius 0.7 m does not fit; the wall at .* is 0.6 m"):
        track1().with_room_for(0.7)


@pytest.mark.parametrize("name", ["track2", "generated:", "generated:-1", "generated:1e3", "map.png", 7])
def test_unknown_tracks_are_refused(name: Any):
    with pytest.raises(ValueError, match="track is"):
        load_track(name)


def test_a_map_becomes_walls_along_its_pixels(tmp_path: Path):
    track = read_map(write_map(tmp_path))
    assert len(track.walls) == 4
    assert track.bounds() == pytest.approx((-0.8, 2.2, 2.8, 4.8))
    assert is_enclosed(track.spots, track.walls).all()


def test_a_map_is_not_upside_down(tmp_path: Path):
    pixels = np.zeros((30, 40), np.uint8)
    pixels[2:8, 2:38] = 255  # a corridor along the top of the image
    pixels[8:28, 2:8] = 255  # and one down its left
    track = read_map(write_map(tmp_path, pixels))
    assert is_enclosed(np.array([[2.5, 4.5], [-0.5, 2.5]]), track.walls).tolist() == [True, True]
    assert is_enclosed(np.array([[2.5, 2.5]]), track.walls).tolist() == [False]


def test_unknown_pixels_are_solid_and_only_the_largest_region_counts(tmp_path: Path):
    pixels = np.full((30, 40), 205, np.uint8)
    pixels[5:25, 5:20] = 254
    pixels[10:12, 30:32] = 254
    assert len(read_map(write_map(tmp_path, pixels)).walls) == 4


def test_negate_turns_a_map_around(tmp_path: Path):
    pixels = np.full((30, 40), 255, np.uint8)
    pixels[2:-2, 2:-2] = 0
    assert len(read_map(write_map(tmp_path, pixels, negate=1)).walls) == 4


def test_pgm_files_and_circuits_of_our_own_are_read(tmp_path: Path):
    track = read_map(write_map(tmp_path, image="map.pgm", circuit="[[0, 3], [2, 3], [2, 4], [0, 4]]"))
    assert track.length() == pytest.approx(6.0)


def test_outlines_of_pixels_are_closed_for_any_region():
    rng = np.random.default_rng(0)
    for _ in range(50):
        region = rng.random((9, 7)) < 0.6
        walls = region_walls(region)
        centres = np.argwhere(np.ones_like(region))[:, ::-1] + 0.5
        assert (is_enclosed(centres, walls) == region.ravel()).all()
        _, ends = np.unique(walls.reshape(-1, 2), axis=0, return_counts=True)
        assert (ends % 2 == 0).all()


OPEN = np.full((30, 40), 255, np.uint8)


@pytest.mark.parametrize(
    ("pixels", "keys", "complaint"),
    [
        (OPEN, {}, "reaches the image's border"),
        (np.zeros((30, 40), np.uint8), {}, "no free pixels"),
        (None, {"resolution": 0}, "resolution is 0"),
        (None, {"resolution": -0.05}, "resolution is -0.05"),
        (None, {"resolution": ".nan"}, "resolution is nan"),
        (None, {"resolution": None}, "resolution is None"),
        (None, {"resolution": "true"}, "resolution is True"),
        (None, {"occupied_thresh": -0.1}, "occupied_thresh is -0.1"),
        (None, {"free_thresh": 0.9}, "above occupied_thresh"),
        (None, {"negate": 2}, "negate is 2"),
        (None, {"origin": "[0, 0, 0.5]"}, "yaw 0.5"),
        (None, {"origin": "[0]"}, "origin is"),
        (None, {"origin": "[1" + "0" * 400 + ", 0, 0]"}, "origin is"),
        (None, {"image": "[1, 2]"}, "image is"),
        (None, {"image": "missing.png"}, "missing.png of the map .*: No such file"),
        (None, {"image": "map.yaml"}, "cannot identify image"),
        (None, {"image": None}, "no key 'image'"),
        (None, {"circuit": "[[0, 3], 5]"}, "circuit is"),
        (None, {"circuit": "[[0, 3], [2, 3], [9, 9]]"}, "not enclosed|runs into"),
        (None, {"x": "!!python/object/apply:os.system ['true']"}, "not a YAML file"),
        (None, {"x": "[" * 10_000}, "not a YAML file"),
        (None, {"origin": "&a [0, 0, 0]", "x": "*a"}, r"it has aliases"),
        (None, {"x": "1" * 70_000}, "at most 16384"),
        (None, {"x": "1" * 6000}, "not a YAML file"),
    ],
)
def test_bad_maps_are_refused(tmp_path: Path, pixels: np.ndarray | None, keys: dict[str, Any], complaint: str):
    image = keys.pop("image", "map.png")
    file = write_map(tmp_path, pixels, **keys)
    if image != "map.png":
        text = file.read_text().replace("image: map.png\n", f"image: {image}\n" if image else "")
        file.write_text(text)
    with pytest.raises(ValueError, match=complaint) as error:
        read_map(file)
    assert "\n" not in str(error.value)


def test_a_missing_map_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="cannot read the map"):
        read_map(tmp_path / "none.yaml")


def test_an_image_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path):
    file = write_map(tmp_path)
    (tmp_path / "map.png").unlink()
    (tmp_path / "map.pgm").write_bytes(b"P5 100000 100000 255\n" + bytes(100))
    file.write_text(file.read_text().replace("map.png", "map.pgm"))
    with pytest.raises(ValueError, match=r"100000 x 100000 pixels|exceeds limit"):
        read_map(file)


def test_a_truncated_image_is_refused(tmp_path: Path):
    file = write_map(tmp_path)
    data = (tmp_path / "map.png").read_bytes()
    (tmp_path / "map.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cannot read the image"):
        read_map(file)
