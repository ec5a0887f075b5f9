"""The renderer of CartPole3D's pixels: geometry and colours worked by hand, and TinyRenderer's own pictures."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.cartpole3d import CAMERA_EYES, CAMERA_TARGET
from envs.cartpole3d_pixels import PixelRenderer

AHEAD = 50 * math.sqrt(3)
"""Pixels of 1 m at a depth of 1 m, in a picture 100 high."""
SKY, GROUND, RED_SIDE, RED_TOP, GREEN_TOP = (255, 255, 255), (71, 71, 71), (158, 35, 17), (215, 47, 23), (47, 167, 23)
LEVEL = [0.0, 0.0, 0.0, 1.0]
AWAY = [0.0, 50.0, 0.3, *LEVEL]


def level_camera(distance: float, height: float = 0.3, width: int = 140) -> PixelRenderer:
    """A camera on the y axis that looks along -y, at a picture 100 high."""
    return PixelRenderer(width, 100, [(0.0, distance, height)], (0.0, 0.0, height))


def picture(renderer: PixelRenderer, cart: list[float], pole: list[float]) -> NDArray[np.uint8]:
    """[height, width, 3] of one camera."""
    out = np.zeros((1, *renderer.shape), np.uint8)
    renderer.draw(np.array([[[cart, pole]]]), out)
    return out[0]


def where(image: NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[set[int], set[int], int]:
    """Rows and columns that have a colour, and how many pixels."""
    rows, columns = np.nonzero((image == colour).all(-1))
    return set(rows.tolist()), set(columns.tolist()), len(rows)


def poses(count: int, snapshots: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """Carts and poles turned anyhow, [count, snapshots, 2, 7]."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, snapshots, 2, 7))
    found[..., :3] = rng.uniform(-0.4, 0.4, (count, snapshots, 2, 3)) + np.array([0.0, 0.0, 0.3])
    found[..., 3:] /= np.linalg.norm(found[..., 3:], axis=-1, keepdims=True)
    return found.astype(np.float32)


def test_a_face_covers_the_pixels_that_its_projection_says():
    # The cart's near face is 1 m ahead: 8.66 pixels to each side of the picture's middle, 2.17 above and below, looked
    # at through the lower left corners of the pixels.
    image = picture(level_camera(1.1), [0.0, 0.0, 0.3, *LEVEL], AWAY)
    assert where(image, RED_SIDE) == (set(range(47, 52)), set(range(62, 79)), 5 * 17)


def test_turned_about_the_line_of_sight_a_box_is_as_high_as_it_was_wide():
    quarter = [0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5)]
    image = picture(level_camera(1.1), [0.0, 0.0, 0.3, *quarter], AWAY)
    assert where(image, RED_SIDE) == (set(range(41, 58)), set(range(68, 73)), 17 * 5)


def test_colours_are_the_urdfs_in_tinyrenderers_light():
    # Shade of a face to +y: 0.6 + 0.35 * 30 / sqrt(13400). Of one to +z, with z = 100 / sqrt(13400) towards the light
    # and mirrored: 0.6 + 0.35 z + 0.05 z^2. Of one to -y: 0.6.
    side, z = 0.6 + 0.35 * 30 / math.sqrt(13400), 100 / math.sqrt(13400)
    top = 0.6 + 0.35 * z + 0.05 * z * z
    red, green, grey = (229, 51, 25), (51, 178, 25), (76, 76, 76)

    def shaded(colour: tuple[int, ...], shade: float) -> tuple[int, ...]:
        return tuple(math.floor(channel * shade) for channel in colour)

    front = picture(level_camera(1.0), [0.0, 0.0, 0.3, *LEVEL], [0.3, 0.0, 0.3, *LEVEL])
    behind = picture(level_camera(-1.0), [0.0, 0.0, 0.3, *LEVEL], [0.3, 0.0, 0.3, *LEVEL])
    above = picture(level_camera(1.0), [0.0, 0.0, 0.1, *LEVEL], AWAY)
    assert {tuple(c) for c in front[50].tolist()} >= {SKY, shaded(red, side), shaded(green, side)}
    assert {tuple(c) for c in behind[50].tolist()} >= {SKY, shaded(red, 0.6), shaded(green, 0.6)}
    assert {tuple(c) for c in above.reshape(-1, 3).tolist()} == {
        SKY, shaded(grey, top), shaded(red, top), shaded(red, side)
    }  # fmt: skip
    assert (shaded(red, side), shaded(red, top), shaded(grey, top)) == (RED_SIDE, RED_TOP, GROUND)


def test_the_ground_ends_5_m_from_the_origin():
    # From 0.3 m above the origin its edge, 5 m ahead and 0.25 m below, is AHEAD / 20 = 4.3 pixels under the middle.
    image = picture(PixelRenderer(140, 100, [(0.0, 0.0, 0.3)], (0.0, -1.0, 0.3)), AWAY, AWAY)
    assert where(image, SKY) == (set(range(54)), set(range(140)), 54 * 140)
    assert where(image, GROUND)[2] == 46 * 140


@pytest.mark.parametrize(("nearer", "seen"), [(0, "cart"), (1, "pole")])
def test_the_nearer_body_hides_the_other(nearer: int, seen: str):
    cart, pole = [0.0, 0.0, 0.3, *LEVEL], [0.0, 0.3 if nearer else -0.3, 0.3, *LEVEL]
    middle = picture(level_camera(1.1), cart, pole)[50, 70]
    assert tuple(middle)[nearer] == max(middle), f"the {seen} is in front"


def test_what_is_sunk_into_the_ground_is_hidden_by_it():
    renderer = PixelRenderer(60, 40, CAMERA_EYES[:1], CAMERA_TARGET)
    empty = picture(renderer, AWAY, AWAY)
    np.testing.assert_array_equal(picture(renderer, [0.0, 0.0, 0.02, *LEVEL], AWAY), empty)  # its top at 0.045 m
    whole, half = (where(picture(renderer, AWAY, [0.0, 0.0, z, *LEVEL]), (35, 122, 17)) for z in (0.3, 0.05))
    assert half[2] < 0.7 * whole[2]


def test_bodies_cross_each_other_pixel_by_pixel():
    # A pole along x, 2 cm thick, through the cart's near face: half of it juts out, and shows over the face's width.
    along_x = [0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5)]
    image = picture(level_camera(1.1), [0.0, 0.0, 0.3, *LEVEL], [0.0, 0.1, 0.3, *along_x])
    jutting = np.argmax(image[49], axis=-1) == 1
    assert jutting[50:91].all() and jutting.sum() == 43
    image = picture(level_camera(1.1), [0.0, 0.0, 0.3, *LEVEL], [0.0, 0.08, 0.3, *along_x])
    inside = np.argmax(image[49], axis=-1) == 1
    assert not inside[62:79].any()
    assert inside[49:62].all() and inside[79:92].all()


def test_nothing_nearer_than_a_tenth_of_a_metre_is_seen():
    empty = picture(level_camera(1.0), AWAY, AWAY)
    for centre in (0.95, 0.87, 1.0, 1.05, 2.0):  # of a cart 0.2 m deep: before the near plane, around the eye, behind
        np.testing.assert_array_equal(picture(level_camera(1.0), [0.0, centre, 0.3, *LEVEL], AWAY), empty)
    assert where(picture(level_camera(1.0), [0.0, 0.79, 0.3, *LEVEL], AWAY), RED_SIDE)[2] > 1000


def test_a_face_across_the_near_plane_is_cut_there():
    # The upper face of a pole along the line of sight is 2 cm wide, 9 mm under the eye, and ends at a depth of 0.35 m,
    # 2.2 pixels under the picture's middle. The near plane cuts it at 7.8 pixels.
    along_y = [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)]
    image = picture(level_camera(1.0), AWAY, [0.0, 0.9, 0.281, *along_y])
    rows, columns, _ = where(image, GREEN_TOP)
    assert (rows, columns) == (set(range(52, 57)), set(range(63, 78)))


def test_no_crack_shows_between_two_faces():
    # The upright edge of a cart that stands corner first is on the sampling points of the middle column, but for
    # rounding, which is another one at each distance.
    renderer = PixelRenderer(84, 84, CAMERA_EYES[:1], CAMERA_TARGET)
    given = np.zeros((300, 1, 2, 7))
    given[:, 0] = AWAY
    given[:, 0, 0] = [0.0, 0.0, 0.2, 0.0, 0.0, math.sin(math.pi / 8), math.cos(math.pi / 8)]
    given[:, 0, 0, 1] = np.linspace(-0.3, 0.3, 300)
    out = np.zeros((300, 84, 84, 3), np.uint8)
    renderer.draw(given, out)
    cart = out[..., 0] > out[..., 1]
    assert cart[..., 42].sum() > 3000
    assert not (cart[..., 41] & ~cart[..., 42] & cart[..., 43]).any()


def test_channels_are_ordered_snapshot_camera_colour():
    one, other = (PixelRenderer(30, 20, [eye], CAMERA_TARGET) for eye in CAMERA_EYES)
    given = poses(4, snapshots=3)
    out = np.zeros((4, 20, 30, 18), np.uint8)
    PixelRenderer(30, 20, CAMERA_EYES, CAMERA_TARGET, snapshots=3).draw(given, out)
    for snapshot in range(3):
        for camera, alone in enumerate((one, other)):
            expected = np.zeros((4, 20, 30, 3), np.uint8)
            alone.draw(given[:, snapshot : snapshot + 1].copy(), expected)
            first = 3 * (2 * snapshot + camera)
            np.testing.assert_array_equal(out[..., first : first + 3], expected)


def test_an_observation_is_the_same_alone_among_others_and_in_threads():
    renderer = PixelRenderer(31, 23, CAMERA_EYES, CAMERA_TARGET, snapshots=2)
    given = poses(37, snapshots=2)
    together, alone, split = (np.full((37, 23, 31, 12), fill, np.uint8) for fill in (0, 1, 2))
    renderer.draw(given, together)
    for n in range(37):
        renderer.draw(given[n : n + 1], alone[n : n + 1])
    halves = [slice(0, 20), slice(20, 37)]
    threads = [threading.Thread(target=renderer.draw, args=(given[half], split[half])) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(split, together)


def test_only_the_observations_asked_for_are_drawn():
    renderer = PixelRenderer(31, 23, CAMERA_EYES, CAMERA_TARGET, snapshots=2)
    given = poses(7, snapshots=2)
    everything, some = np.zeros((7, 23, 31, 12), np.uint8), np.zeros((7, 23, 31, 12), np.uint8)
    renderer.draw(given, everything)
    renderer.draw(given, some, np.array([5, 2]))
    np.testing.assert_array_equal(some[[2, 5]], everything[[2, 5]])
    assert not some[[0, 1, 3, 4, 6]].any()
    renderer.draw(given, some, np.array([], np.int64))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_rubbish_among_the_poses_harms_no_other_picture(number: float):
    renderer = PixelRenderer(31, 23, CAMERA_EYES, CAMERA_TARGET)
    given = poses(28)
    expected, out = np.zeros((28, 23, 31, 6), np.uint8), np.zeros((28, 23, 31, 6), np.uint8)
    renderer.draw(given, expected)
    for entry in range(14):
        given[2 * entry, 0].reshape(-1)[entry] = number
    renderer.draw(given, out)
    np.testing.assert_array_equal(out[1::2], expected[1::2])


def test_bad_arguments_are_named():
    renderer = PixelRenderer(31, 23, CAMERA_EYES, CAMERA_TARGET)
    given, out = poses(3), np.zeros((3, 23, 31, 6), np.uint8)
    bad: Any
    for bad in (given[:, 0], given[..., :6], poses(3, snapshots=2), given.astype(np.float16)):
        with pytest.raises(ValueError, match=r"^poses are .*expected float32 or float64 \(N, 1, 2, 7\)"):
            renderer.draw(bad, out)
    for bad in (out[:2], out[..., :3], out.astype(np.int16), out.transpose(0, 2, 1, 3), out[:, ::-1]):
        with pytest.raises(ValueError, match=r"^out is .*expected contiguous uint8 \(3, 23, 31, 6\)"):
            renderer.draw(given, bad)
    for bad in (np.array([3]), np.array([-1]), np.ones(3, bool), np.array([[1]])):
        with pytest.raises(ValueError, match=r"^which "):
            renderer.draw(given, out, bad)
    with pytest.raises(ValueError, match=r"0 x 5 pixels.*expected at least 1"):
        PixelRenderer(0, 5, CAMERA_EYES, CAMERA_TARGET)
    with pytest.raises(ValueError, match="straight above or below"):
        PixelRenderer(8, 8, [(0.0, 0.0, 2.0)], CAMERA_TARGET)


@pytest.mark.parametrize(("width", "height"), [(50, 50), (61, 37), (8, 9)])
def test_the_pictures_are_tinyrenderers(width: int, height: int):
    pytest.importorskip("pybullet")
    from tests.campaigns.renderer_campaign import KINDS, Pair

    rng = np.random.default_rng(7)
    pair = Pair(width, height)
    try:
        for kind in KINDS:
            differences = pair.differences(kind(25, rng))
            # TinyRenderer computes in float32, so that a pixel in a million falls to the other side of an edge.
            assert np.count_nonzero(differences.any(-1)) <= 2, kind.__name__
    finally:
        pair.close()
