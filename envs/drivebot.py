"""DriveBot: drive a round robot with three noisy sonars along a walled circuit."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from envs import drivebot_readings as made_of
from envs import drivebot_world as world_of
from envs.drivebot_build import build_world
from envs.drivebot_drawing import EgoView, Picture
from envs.drivebot_world import NUMPY, State, World
from envs.native import NativeVectorEnv, ScalarEnv
from envs.track import Track, distance_to_segments, is_enclosed, load_track

Observation = Literal["sonars", "standardised", "furthest", "ordering", "pixels"]
Reward = Literal["moving", "checkpoints"]

ACTION_NAMES = ("forward", "left", "right", "backward")
COMMANDS = np.array([[1, 0], [0, 1], [0, -1], [-1, 0]], np.float64)
"""Forward and turn of each discrete action."""
BIN_NAMES = ("forward", "left", "right", "backward", "stop")
BINS = ((1.0, 0.0), (0.0, 1.0), (0.0, -1.0), (-1.0, 0.0), (0.0, 0.0))
"""Continuous actions that stand for those near them, where actions are counted in a table."""

SONARS = ((0.1, 0.0, 0.0), (0.1, 0.1, 90.0), (0.1, -0.1, -90.0))
"""The original's layout: place on the robot x, y (m; x is ahead, y to the left) and facing (degrees to the left)."""
TRAIL = 1000
"""Steps that a picture's trail goes back."""
COMPILED_FROM = 4
"""Robots from which on the compiled loop is chosen: below it, loading it costs more than it saves."""


@dataclass(frozen=True, kw_only=True)
class DriveBotConfig:
    """Every constant of the task. All are keywords of `gymnasium.make`."""

    observation: Observation = "sonars"
    """What the agent sees: "sonars" (m), "standardised" readings, which is "furthest" (a number), their "ordering"
    (a number), or "pixels"."""
    history: int = 1
    """Last readings that an observation shows, the oldest first; numbers are combined to one. Not for pixels."""
    reward: Reward = "moving"
    """"moving": 1 for driving, -1 for being blocked; "checkpoints": 2 for the next, -2 for the previous one."""
    track: str | Track = "track1"
    """"track1", "generated:SEED", or the path of a ROS map ending in .yaml."""
    backward: bool = False
    """Whether there is a fourth action, to drive backwards."""
    lag: float = 0.0
    """Probability that a step still executes the previous action, as an asynchronous robot does."""
    speed: float = 1.0
    """Metres per second forwards and backwards."""
    turn_rate: float = 1.2
    """Radians per second on the spot."""
    tick: float = 0.2
    """Seconds of a step."""
    radius: float = 0.2
    """Of the robot, m."""
    sonars: Any = SONARS
    """Layout: [x, y, facing] of each sonar in metres and degrees, seen from the robot, which heads along +x; or
    "random:COUNT:SEED" for sonars on its rim that face outwards at random angles."""
    sonar_cone: float = 0.87
    """Full angle of a sonar's cone, rad."""
    sonar_range: float = 3.0
    """Metres that a sonar reads at most."""
    sonar_blind: float = 0.15
    """Metres below which it reads 0."""
    noise_mean: float = 0.1
    """Mean of what is added to a true distance, m."""
    noise_deviation: float = 0.01
    """Standard deviation of it, m."""
    reading_mean: float = 0.8
    """What "standardised" subtracts, m; the mean of readings on track1 under the rule "towards the furthest"."""
    reading_deviation: float = 0.3
    """What "standardised" divides by, m; their deviation."""
    checkpoint_spacing: float = 2.0
    """Metres along the circuit between checkpoints; a lap is divided evenly."""
    max_steps: int = 1000
    """Steps at which an episode is truncated."""
    patience: int = 30
    """Steps in a row without a positive reward at which it is truncated, too."""
    image_size: int = 50
    """Rows and columns of a pixel observation."""
    frames: int = 1
    """Last pictures that a pixel observation shows, the oldest first, three channels each."""
    view: float = 5.0
    """Metres that a pixel observation spans."""
    form: Literal["auto", "arrays", "compiled", "device"] = "auto"
    """How robots are stepped: "arrays" (NumPy), "compiled" (Numba), or on "device" (torch tensors, for a GPU; many at
    once only); all give the same."""

    def __post_init__(self) -> None:
        for name, allowed in (
            ("observation", ("sonars", "standardised", "furthest", "ordering", "pixels")),
            ("reward", ("moving", "checkpoints")),
            ("form", ("auto", "arrays", "compiled", "device")),
        ):
            value = getattr(self, name)
            if value not in allowed:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(allowed)}")
        for name, low, high in (
            ("history", 1, 1000),
            ("lag", 0.0, 1.0),
            ("speed", 0.001, 1000.0),
            ("turn_rate", 0.0, 1000.0),
            ("tick", 0.001, 10.0),
            ("radius", 0.01, 100.0),
            ("sonar_cone", 0.01, 3.1),  # the form for cones holds below pi
            ("sonar_range", 0.01, 1000.0),
            ("sonar_blind", 0.0, 1000.0),
            ("noise_mean", -100.0, 100.0),
            ("noise_deviation", 0.0, 100.0),
            ("reading_mean", -1000.0, 1000.0),
            ("reading_deviation", 1e-6, 1000.0),
            ("checkpoint_spacing", 0.1, 1000.0),
            ("max_steps", 1, 10_000_000),
            ("patience", 1, 10_000_000),
            ("image_size", 8, 512),
            ("frames", 1, 64),
            ("view", 0.5, 100.0),
        ):
            value = getattr(self, name)
            whole = isinstance(low, int)
            kinds = (int,) if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                raise ValueError(f"{name} is {value!r}; expected {kind} in [{low}, {high}]")
        if not isinstance(self.backward, bool):
            raise ValueError(f"backward is {self.backward!r}; expected true or false")
        if self.turn_rate * self.tick > 2 * math.pi:
            raise ValueError(
                f"turn_rate {self.turn_rate} for a tick of {self.tick} s is more than a full turn: lower one of them"
            )
        if self.sonar_blind > self.sonar_range:
            raise ValueError(f"sonar_blind is {self.sonar_blind}; expected at most sonar_range, {self.sonar_range}")
        if self.observation == "pixels" and self.history != 1:
            raise ValueError(f"history is {self.history} for pixels; use frames={self.history} instead")
        self.layout()

    def layout(self) -> NDArray[np.float64]:
        """The sonars [S, 3]: x, y (m) and facing (rad).

        Raises:
            ValueError: `sonars` does not describe any, or one is outside the robot.
        """
        if isinstance(self.sonars, str):
            return self._random_layout()
        try:
            layout: NDArray[np.float64] = np.array(self.sonars, np.float64)
        except (TypeError, ValueError):
            layout = np.zeros((0, 0))
        if layout.ndim != 2 or layout.shape[1] != 3 or not 1 <= len(layout) <= 64 or not np.isfinite(layout).all():
            raise ValueError(
                "sonars: expected 1 to 64 lists [x, y, facing], in metres and degrees, or random:COUNT:SEED"
            )
        if (np.hypot(layout[:, 0], layout[:, 1]) > self.radius).any():
            raise ValueError(f"sonars: one is outside the robot, whose radius is {self.radius:g} m")
        layout[:, 2] = np.deg2rad(layout[:, 2])
        return layout

    def _random_layout(self) -> NDArray[np.float64]:
        word, *numbers = self.sonars.split(":")
        if (
            word != "random"
            or len(numbers) != 2
            or not all(n.isascii() and n.isdigit() and len(n) < 19 for n in numbers)
        ):
            raise ValueError(f"sonars is {self.sonars!r}; expected random:COUNT:SEED, such as random:5:0, or a list")
        count, seed = map(int, numbers)
        if not 1 <= count <= 64:
            raise ValueError(f"sonars is {self.sonars!r}; expected 1 to 64 of them")
        facing = np.random.default_rng(seed).uniform(-math.pi, math.pi, count)
        rim = 0.7 * self.radius
        return np.column_stack([rim * np.cos(facing), rim * np.sin(facing), facing])


def make_world(config: DriveBotConfig, continuous: bool) -> tuple[Track, World]:
    """The track and the world of a configuration.

    Raises:
        ValueError: the track is unfit, or the robot does not fit.
    """
    track = load_track(config.track).with_room_for(config.radius)
    world = build_world(
        track,
        stride=config.speed * config.tick,
        turn=config.turn_rate * config.tick,
        radius=config.radius,
        sonars=config.layout(),
        sonar_cone=config.sonar_cone,
        sonar_range=config.sonar_range,
        sonar_blind=config.sonar_blind,
        noise_mean=config.noise_mean,
        noise_deviation=config.noise_deviation,
        lag=config.lag,
        checkpoints=config.reward == "checkpoints",
        checkpoint_spacing=config.checkpoint_spacing,
        proportional=continuous,
    )
    return track, world


class DriveBotVector(NativeVectorEnv):
    """Many DriveBots as one: see `DriveBot` for the task, `envs.native` for the contract.

    Observations are [N, ...]. `options["pose"]` of `reset` places robots: x, y, heading, one row for each that is
    reset, or one for all.

    Args:
        num_envs: robots.
        continuous: whether actions are a forward speed and a turn rate.
        render_mode: "rgb_array" or None.
        config: fields of `DriveBotConfig`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # pyright: ignore[reportIncompatibleVariableOverride]
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "action_names": ACTION_NAMES[:3],
    }

    def __init__(self, num_envs: int = 1, *, continuous: bool = False, render_mode: str | None = None, **config: Any):
        self.config = DriveBotConfig(**config)
        if self.config.form == "device":
            raise ValueError("form 'device' is for many robots at once, as cartbot trains them; use form 'auto'")
        self.continuous = continuous
        if continuous and self.config.backward:
            raise ValueError("backward is for discrete actions; continuous ones drive backwards with a negative speed")
        self.track, self.world = make_world(self.config, continuous)
        layout = self.config.layout()
        actions = spaces.Box(-1.0, 1.0, (2,), np.float32) if continuous else spaces.Discrete(3 + self.config.backward)
        super().__init__(num_envs, observation_space(self.config), actions, render_mode)
        self.metadata = {**self.metadata, **names_of(self.config, continuous)}  # pyright: ignore[reportAttributeAccessIssue]

        sonars = len(layout)
        self.pose = np.zeros((num_envs, 3))
        self.previous = np.zeros((num_envs, 2))
        self.arc = np.zeros(num_envs)
        self.progress = np.zeros(num_envs)
        self.idle = np.zeros(num_envs, np.int64)
        self.moves = np.zeros(num_envs, np.int64)
        self.blocked = np.zeros(num_envs, np.int64)
        self.readings = np.zeros((num_envs, sonars))
        self.returns = np.zeros(num_envs)
        names = (*State._fields[:-1], "returns")
        if self.config.history > 1:
            self.past = np.zeros((num_envs, self.config.history, sonars))
            names += ("past",)
        self.view: EgoView | None = None
        if self.config.observation == "pixels":
            self.view = EgoView(self.track, self.config.image_size, self.config.view, self.config.radius)
            size = self.config.image_size
            self.pictures = np.zeros((num_envs, size, size, 3 * self.config.frames), np.uint8)
            names += ("pictures",)
        self.state_names = names  # pyright: ignore[reportAttributeAccessIssue]

        form = self.config.form
        self.compiled = form == "compiled" or (form == "auto" and num_envs >= COMPILED_FROM)
        self._reward = np.zeros(num_envs)
        self._picture: Picture | None = None
        self._trails: list[deque[tuple[float, float, bool]]] = []
        if render_mode is not None:
            self._picture = Picture(
                self.track, self.config.radius, layout, self.config.sonar_cone, self.config.sonar_range
            )
            self._trails = [deque(maxlen=TRAIL) for _ in range(num_envs)]
            self._actions = np.zeros((num_envs, 2))

    def _begin(self, columns: NDArray[np.intp], options: dict[str, Any]) -> dict[str, NDArray[Any]]:
        pose = self._given_pose(options.get("pose"), len(columns))
        if self.compiled:
            from envs import drivebot_compiled

            state, still = self._state(), np.zeros((self.num_envs, 2))
            mask = np.zeros(self.num_envs, bool)
            mask[columns] = True
            drivebot_compiled.place(self.world, state, self.key, columns, np.zeros((0, 3)) if pose is None else pose)
            drivebot_compiled.step(self.world, state, self.key, still, mask, np.zeros(self.num_envs))
            self.idle[columns] = 0
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                began = world_of.begin(NUMPY, self.world, self.key[columns], pose)
            for name, values in began._asdict().items():
                getattr(self, name)[columns] = values
        self.returns[columns] = 0.0
        self._remember(columns, fresh=True)
        if self._trails:
            for column in columns:
                self._trails[column].clear()
                self._trails[column].append((*self.pose[column, :2].tolist(), False))
        return {}

    def _advance(
        self, actions: NDArray[Any], active: NDArray[np.bool_]
    ) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], dict[str, NDArray[Any]]]:
        command = self._command(actions, active)  # [N, 2]
        blocked_before = self.blocked.copy() if self._trails else None
        if self.compiled:
            from envs import drivebot_compiled  # Numba takes a while to import, and small batches do without

            drivebot_compiled.step(self.world, self._state(), self.key, command, active, self._reward)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):  # see the comments on walls along a cone's edge
                after, reward = world_of.step(NUMPY, self.world, self._state(), self.key, command)
            for name, values in after._asdict().items():
                getattr(self, name)[active] = values[active]
            self._reward[active] = reward[active]
        self.returns += np.where(active, self._reward, 0.0)
        self._remember(active, fresh=False)
        if blocked_before is not None:
            self._actions[active] = command[active]
            for column in np.flatnonzero(active):
                stuck = bool(self.blocked[column] > blocked_before[column])
                self._trails[column].append((*self.pose[column, :2].tolist(), stuck))
        truncated = (self.idle >= self.config.patience) | (self.episode_steps >= self.config.max_steps)
        infos: dict[str, NDArray[Any]] = {}
        if (truncated & active).any():
            infos["blocked"] = self.blocked / np.maximum(self.moves, 1)
            if self.world.lap > 0.0:
                infos["laps"] = self.progress / self.world.lap
                infos["is_success"] = np.abs(infos["laps"]) >= 1.0
        return self._reward.copy(), np.zeros(self.num_envs, bool), truncated, infos

    def _observe(self) -> NDArray[Any]:
        config = self.config
        if config.observation == "pixels":
            return self.pictures.copy()
        past = self.past if config.history > 1 else self.readings[:, None]  # [N, n, S]
        if config.observation in ("furthest", "ordering"):
            states = (made_of.furthest if config.observation == "furthest" else made_of.ordering)(past)  # [N, n]
            return made_of.as_one_number(states, state_count(config))
        if config.observation == "standardised":
            return made_of.standardised(past, config.reading_mean, config.reading_deviation).reshape(self.num_envs, -1)
        return past.reshape(self.num_envs, -1).astype(np.float32)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A picture of each robot, uint8 [600, 800, 3], in mode "rgb_array"."""
        if self._picture is None:
            return None
        return tuple(self._draw(column) for column in range(self.num_envs))

    def load_state_dict(self, state: dict[str, Any]) -> NDArray[Any]:
        """As in `NativeVectorEnv`; trails in pictures begin anew."""
        obs = super().load_state_dict(state)
        for column, trail in enumerate(self._trails):
            trail.clear()
            trail.append((*self.pose[column, :2].tolist(), False))
        return obs

    def _state(self) -> State:
        """The state's arrays themselves."""
        return State(**{name: getattr(self, name) for name in State._fields})

    def _command(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Forward and turn [N, 2] of the actions of all columns; what inactive ones are told does not matter.

        Raises:
            ValueError: an active column's action is outside the space.
        """
        if self.continuous:
            if actions.shape != (self.num_envs, 2):
                raise ValueError(f"actions have shape {actions.shape}; expected ({self.num_envs}, 2)")
            fine = (np.abs(actions) <= 1.0).all(1)
            command = actions.astype(np.float64)
        else:
            if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
                raise ValueError(
                    f"actions are {actions.dtype} {actions.shape}; expected whole numbers ({self.num_envs},)"
                )
            fine = (actions >= 0) & (actions < 3 + self.config.backward)
            command = COMMANDS.take(actions, 0, mode="clip")
        wrong = actions[active & np.logical_not(fine)]
        if len(wrong):
            raise ValueError(f"action is {wrong[0]}; expected a member of {self.single_action_space}")
        return command

    def _remember(self, columns: NDArray[Any], fresh: bool) -> None:
        """Brings what observations show besides the readings up to date."""
        if self.config.history > 1:
            made_of.remember(self.past, self.readings, columns, fresh)
        if self.view is not None:
            which = np.flatnonzero(columns) if columns.dtype == bool else columns
            self.view.photograph(self.pose, which, self.pictures, fresh, self.compiled)

    def _given_pose(self, pose: Any, count: int) -> NDArray[np.float64] | None:
        if pose is None:
            return None
        try:
            given = np.broadcast_to(np.asarray(pose, np.float64), (count, 3)).copy()
        except (TypeError, ValueError):
            raise ValueError(f"pose is {pose!r}; expected x, y and heading, or a row of them for each reset") from None
        if not np.isfinite(given).all():
            raise ValueError("pose: expected finite numbers")
        given[:, 2] = (given[:, 2] + math.pi) % (2 * math.pi) - math.pi
        room = distance_to_segments(given[:, :2], self.track.walls).min(1)
        fits = (room > self.world.contact) & is_enclosed(given[:, :2], self.track.walls)
        if not fits.all():
            x, y, _ = given[~fits][0]
            raise ValueError(f"pose: the robot does not fit at ({x:g}, {y:g}); it is in a wall, or outside")
        return given

    def _draw(self, column: int) -> NDArray[np.uint8]:
        assert self._picture is not None
        forward, turn = self._actions[column]
        if self.continuous:
            action = f"{forward:+.2f}, {turn:+.2f}"
        else:
            action = ACTION_NAMES[int(np.equal(COMMANDS, (forward, turn)).all(1).argmax())]
        facts = [
            ("step", f"{self.episode_steps[column]}"),
            ("action", action if self.episode_steps[column] else "-"),
            ("return", f"{self.returns[column]:.4g}"),
            ("laps", f"{self.progress[column] / self.world.lap:.2f}" if self.world.lap else "-"),
            ("blocked", f"{self.blocked[column]} of {self.moves[column]}"),
        ]
        names = made_of.sonar_names(np.rad2deg(self.config.layout()[:, 2]).tolist())
        readings = dict(zip(names, self.readings[column].tolist(), strict=True))
        return self._picture.draw(self.pose[column], readings, list(self._trails[column]), facts)


class DriveBot(ScalarEnv):
    """Drive a disc of 0.2 m radius along a walled circuit, seeing only three noisy sonars. A step is 0.2 s.

    **Actions.** `DriveBot-v0`: Discrete(3): forward (1 m/s), left, right (1.2 rad/s on the spot), and a fourth,
    backward, with `backward=True`. `DriveBotContinuous-v0`: Box(-1, 1, (2,)), forward speed and turn rate as shares of
    these; the robot turns by half its angle, drives straight, and turns by the other half. Motion stops at the first
    contact with a wall, without sliding; turning always succeeds. With `lag`, a step executes the previous action
    with that probability; before the first there is none, and the robot stands.

    **Observations.** `sonars`: float32 (3 x history,), metres: front, left, right. Each is the distance to the nearest
    point of a wall in the sonar's cone (exact), plus noise; more than `sonar_range` reads `sonar_range`, less than
    `sonar_blind` reads 0. `standardised`: the same less `reading_mean`, over `reading_deviation`. `furthest`:
    Discrete(3), which reads most. `ordering`: Discrete(6), which permutation sorts them. With `history=n` the last n,
    oldest first; numbers become the digits of one, and `metadata["state_names"]` names up to 1,000 of them. `pixels`:
    uint8 (50, 50, 3 x frames), seen from above, centred on the robot, heading up. After a reset all readings and
    frames of a history are equal.

    **Reward.** `moving`: 1 for a step that moved the robot (by more than 1e-6 m); -1 where driving was commanded and
    a wall stopped it at once; else 0. Continuous: the distance made forwards, as a share of a full step, or -1.
    `checkpoints`: the circuit is divided into squares of 2 m; 2 for each square forwards, -2 for each backwards, -1
    when stopped at once, else 0.

    **Start.** A random place on the circuit, heading anywhere; for `checkpoints` on a straight, heading forwards. On
    a map without a circuit, a random place with room. `options={"pose": (x, y, heading)}` chooses it.

    **End.** Never terminated; truncated after `max_steps`, or `patience` steps in a row without a positive reward.
    The info of the last step has `blocked` (share of driving commands that a wall stopped at once), and on a circuit
    `laps` (net, negative against its direction) and `is_success`: at least one whole lap, in either direction.

    The same reset seed and actions give the same observations to the bit, alone and among any number of others. All
    fields of `DriveBotConfig` are keywords.

    Raises:
        ValueError: a keyword is out of its bounds, the track is unfit, or the robot does not fit.
        gymnasium.error.ResetNeeded: `step` before `reset`, or after the end of an episode.
    """

    metadata: ClassVar[dict[str, Any]] = dict(DriveBotVector.metadata)  # pyright: ignore[reportIncompatibleVariableOverride]
    vector = DriveBotVector
    batch: DriveBotVector

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.metadata = {**self.metadata, **names_of(self.batch.config, self.batch.continuous)}  # pyright: ignore[reportAttributeAccessIssue]


def drivebot_vector(num_envs: int = 1, *, render_mode: str | None = None, **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    """What `gymnasium.make_vec` builds for DriveBot."""
    if kwargs.get("form") != "device":
        return DriveBotVector(num_envs, render_mode=render_mode, **kwargs)
    from envs.drivebot_torch import TorchDriveBot  # imports torch, which nothing else here does
    from envs.tensors import TensorVectorEnv, best_device

    if render_mode is not None:
        raise ValueError(f"render_mode is {render_mode!r}; form 'device' draws no pictures: use form 'auto'")
    simulator = TorchDriveBot(num_envs, device=best_device(), **kwargs)
    metadata = DriveBotVector.metadata | names_of(simulator.config, simulator.continuous)
    return TensorVectorEnv(simulator, metadata | {"judge": {"form": "auto"}})


def state_count(config: DriveBotConfig) -> int:
    """States of one reading of a discrete observation."""
    sonars = len(config.layout())
    return sonars if config.observation == "furthest" else math.factorial(sonars)


def observation_space(config: DriveBotConfig) -> spaces.Space[Any]:
    """The space of what `config.observation` asks for."""
    if config.observation == "pixels":
        return spaces.Box(0, 255, (config.image_size, config.image_size, 3 * config.frames), np.uint8)
    if config.observation in ("furthest", "ordering"):
        return made_of.states_space(state_count(config), config.history)
    low, high = 0.0, float(config.sonar_range)
    if config.observation == "standardised":
        bounds = made_of.standardised(np.array([low, high]), config.reading_mean, config.reading_deviation)
        low, high = bounds.tolist()
    return spaces.Box(low, high, (config.history * len(config.layout()),), np.float32)


def names_of(config: DriveBotConfig, continuous: bool) -> dict[str, Any]:
    """Entries of the metadata that depend on the configuration: names of actions and states."""
    names: dict[str, Any] = {"action_names": ACTION_NAMES[: 3 + config.backward]}
    if continuous:
        names = {"action_names": BIN_NAMES, "action_directions": [list(action) for action in BINS]}
        names["idle_action"] = BIN_NAMES.index("stop")
    if config.observation in ("furthest", "ordering"):
        sonars = made_of.sonar_names(np.rad2deg(config.layout()[:, 2]).tolist())
        of_one = made_of.furthest_names if config.observation == "furthest" else made_of.ordering_names
        if state_count(config) ** config.history <= 1000:
            names["state_names"] = made_of.history_names(of_one(sonars), config.history)
    return names
