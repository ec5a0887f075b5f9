"""A person at the keyboard in the place of an agent; the episodes are kept as a run."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Collection
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Fixed, Task
from eval.episodes import Episode
from eval.evaluation import Evaluation, play
from eval.images import captioned
from eval.loop import EvaluationSeeds, Interaction
from eval.runs import RunConfig
from eval.tasks import ActionTable, describe_task, make_envs

ARROWS = {"left": "left", "right": "right", "up": "up", "down": "down", "forward": "up", "backward": "down"}
ARROWS |= {"west": "left", "east": "right", "north": "up", "south": "down"}
"""Keys of actions with these names; the others have the digits, in their order."""
AGENT = "person"

Keys = Callable[[NDArray[np.uint8] | None], Collection[str]]
"""Shows a picture, waits as long as it is to be seen, and tells the names of the keys held; raises Quit."""


class Quit(Exception):
    """The person has had enough."""


class Person(Fixed):
    """Turns keys into actions.

    Without a key held it does what does nothing; where nothing does, time stands still until a key is held.
    """

    def __init__(self, task: Task, table: ActionTable, show: Callable[[], Collection[str]]):
        self.task, self.table, self.show = task, table, show
        self.keys = [ARROWS.get(name, str(number % 10)) for number, name in enumerate(table.names, 1)]

    def act(self, obs: NDArray[Any], first: NDArray[np.bool_], *, explore: bool) -> NDArray[Any]:
        space = self.task.action_space
        while True:
            held = self.show()
            chosen = [number for number, key in enumerate(self.keys) if key in held]
            if self.table.directions is not None:
                assert isinstance(space, gym.spaces.Box)
                action = self.table.directions[chosen].sum(0).reshape(space.shape)
                return action.clip(space.low, space.high).astype(space.dtype)[None, None]
            number = chosen[0] if chosen else self.task.idle_action
            if number is not None:
                return np.array([[self.table.first + number]])

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def play_by_hand(config: RunConfig, episodes: int, keys: Keys) -> Evaluation:
    """Lets a person play evaluation episodes, until they are over or the person quits; only whole ones are kept."""
    venv = make_envs(config.env, 1, env_args={**config.env_args, "render_mode": "rgb_array"}, workers=0)
    try:
        task, table = describe_task(config.env, venv)
        length, total = 0, 0.0

        def show() -> Collection[str]:
            frame = venv.render_column(0)  # pyright: ignore[reportAttributeAccessIssue]
            if not isinstance(frame, np.ndarray):
                raise ValueError(f"{config.env} draws no pictures (render_mode 'rgb_array')")
            lines = ((f"step {length}", f"return {total:.1f}"), (", ".join(told), "Esc ends"))
            return keys(captioned(frame, lines, 480, 1280))

        def watch(step: Any) -> None:
            nonlocal length, total
            ended = bool((step.terminated | step.truncated)[0, 0])
            length, total = (0, 0.0) if ended else (length + 1, total + float(step.reward[0, 0]))

        person = Person(task, table, show)
        told = [f"{key}: {name}" for key, name in zip(person.keys, table.names, strict=True)]
        evaluation = Evaluation(
            task=task,
            table=table,
            gamma=1.0,
            world=str(venv.metadata.get("world", "native")),
            reward_threshold=None if venv.spec is None else venv.spec.reward_threshold,
            outcomes=tuple(venv.metadata.get("outcomes", ())),
        )
        interaction = Interaction(venv, person, 1, EvaluationSeeds(episodes, 1, 1), explore=False)
        played: list[Episode] = []
        try:
            for episode in play(interaction, table, 1.0, person, (watch,)):
                played.append(episode)
        except Quit:
            pass
        evaluation.modes["greedy"] = [played]
        return evaluation
    finally:
        venv.close()


class Window:
    """Pygame's window as a source of keys.

    Raises:
        ValueError: pygame is not installed, or there is no display.
    """

    def __init__(self, title: str, fps: int):
        shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))
        if sys.platform.startswith("linux") and not shown:
            raise ValueError("there is no display to play on; use a desktop session, or `ssh -X`")
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        try:
            self._pygame: Any = importlib.import_module("pygame")
            self._pygame.display.init()
        except ModuleNotFoundError:
            raise ValueError("playing needs pygame; pip install 'cartbot[play]'") from None
        except Exception as error:
            raise ValueError(f"there is no display to play on ({error})") from None
        self._title, self._fps, self._surface = title, fps, None
        self._clock = self._pygame.time.Clock()

    def __call__(self, frame: NDArray[np.uint8] | None) -> Collection[str]:
        pygame = self._pygame
        if frame is not None:
            if self._surface is None:
                self._surface = pygame.display.set_mode(frame.shape[1::-1])
                pygame.display.set_caption(self._title)
            self._surface.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
            pygame.display.flip()
        self._clock.tick(self._fps)
        pressed = set()
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                raise Quit
            if event.type == pygame.KEYDOWN:  # a tap shorter than a frame counts too
                pressed.add(pygame.key.name(event.key))
        held = pygame.key.get_pressed()
        return pressed | {name for name in (*ARROWS.values(), *"0123456789") if held[pygame.key.key_code(name)]}

    def close(self) -> None:
        self._pygame.display.quit()
