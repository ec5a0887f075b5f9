"""Many environments as one: columns over worker processes that write into shared memory.

The columns keep Gymnasium's autoreset mode DISABLED: an episode that ended stays ended until it is reset by a mask,
so that its last observation is there to be learnt from, and every reset can have a seed of its own. What an
environment does is a function of its reset seed and its actions, so the state of all columns is just that, and is
restored by playing it again (Bullet's solver has hidden state that no pose restores).
"""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.resets import parse_reset


class WorkerError(RuntimeError):
    """An environment failed, or the process that ran it died or hung. The message carries its traceback."""


@dataclass
class _Shared:
    """What parent and workers both see, one row per column."""

    obs: NDArray[Any]
    action: NDArray[Any]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    active: NDArray[np.bool_]
    """Whether a column is inside an episode, so that a step concerns it."""
    next_seed: NDArray[np.int64]
    """What a column that ends is reset with at once, or NOT_AHEAD."""
    next_obs: NDArray[Any]
    """Observations that such episodes begin with."""


NOT_AHEAD = -1
"""In `next_seed`: the column stays ended until it is told otherwise."""


class _Columns:
    """Some consecutive columns, stepped one after the other in the process that built them."""

    shared: _Shared

    def __init__(self, env_id: str, kwargs: dict[str, Any], first: int, count: int):
        self.envs = [gym.make(env_id, disable_env_checker=True, **kwargs) for _ in range(count)]
        self.first = first

    def attach(self, shared: _Shared) -> None:
        """Where to read actions from, and to write the rest to."""
        self.shared = shared

    def step(self) -> dict[int, tuple[dict[str, Any], dict[str, Any] | None]]:
        """Steps the active columns with their shared actions, and begins the next episodes that are known already.

        Returns infos by column, of the step and of the next episode's reset, where there are any.
        """
        shared, infos = self.shared, {}
        for column, env in enumerate(self.envs, self.first):
            if not shared.active[column]:
                shared.reward[column] = 0.0
                shared.terminated[column] = shared.truncated[column] = False
                continue
            obs, reward, terminated, truncated, info = env.step(self._action(column))
            shared.obs[column] = obs
            shared.reward[column] = reward
            shared.terminated[column] = terminated
            shared.truncated[column] = truncated
            begun = None
            if (terminated or truncated) and shared.next_seed[column] != NOT_AHEAD:
                shared.next_obs[column], begun = env.reset(seed=int(shared.next_seed[column]))
            if info or begun is not None:
                infos[column] = info, begun
        return infos

    def reset(self, seeds: dict[int, int | None], options: dict[str, Any] | None) -> dict[int, dict[str, Any]]:
        """Resets the columns that `seeds` names, of those that are here."""
        infos = {}
        for column, env in enumerate(self.envs, self.first):
            if column in seeds:
                self.shared.obs[column], info = env.reset(seed=seeds[column], options=options)
                if info:
                    infos[column] = info
        return infos

    def replay(self, episodes: dict[int, tuple[int | None, NDArray[Any]]]) -> dict[int, dict[str, Any]]:
        """Brings columns to where reset seeds and actions lead."""
        for column, env in enumerate(self.envs, self.first):
            if column in episodes:
                seed, actions = episodes[column]
                obs, _ = env.reset(seed=seed)
                for action in actions:
                    self.shared.action[column] = action
                    obs, *_ = env.step(self._action(column))
                self.shared.obs[column] = obs
        return {}

    def render(self, columns: list[int]) -> dict[int, Any]:
        """The pictures of those columns that are here."""
        return {column: env.render() for column, env in enumerate(self.envs, self.first) if column in columns}

    def close(self) -> dict[int, Any]:
        for env in self.envs:
            env.close()
        return {}

    def _action(self, column: int) -> Any:
        action = self.shared.action[column]
        return action.copy() if action.shape else action.item()


START_TIMEOUT = 180.0
"""Seconds that worker processes have at least to start: they import what their environments need, which takes a while
on a machine that has much else to do."""


class WorkerVectorEnv(VectorEnv[Any, Any, Any]):
    """`num_envs` copies of a registered environment, divided over worker processes.

    A column that ended and was not reset is passed over by `step`: its observation stays, its reward is 0.

    Args:
        env_id: a registered id, "module:Id-v0" included. Observations and actions must be single arrays or numbers.
        num_envs: columns.
        workers: processes; 0 steps all columns in this process; None takes one more than there are CPU cores, at most
            one per column: smaller shares even out better, also with what this process does meanwhile.
        timeout: seconds without a word from a worker after which it counts as hung.
        kwargs: keywords of `gymnasium.make`.

    Raises:
        ValueError: `num_envs` or `workers` out of bounds, or a space of the wrong kind.
        WorkerError: from any method, when an environment raises, or a worker dies or hangs.
    """

    metadata: dict[str, Any] = {}  # noqa: RUF012 - Gymnasium declares it so

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        *,
        workers: int | None = None,
        timeout: float = 60.0,
        kwargs: dict[str, Any] | None = None,
    ):
        if num_envs < 1:
            raise ValueError(f"num_envs is {num_envs}; expected at least 1")
        if workers is not None and workers < 0:
            raise ValueError(f"workers is {workers}; expected 0 (this process) or more")
        kwargs = kwargs or {}
        workers = min(num_envs, cpu_count() + 1 if workers is None else workers)
        probe = gym.make(env_id, disable_env_checker=True, **kwargs) if workers else None
        context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._local: _Columns | None = None
        if probe is None:
            # The columns are needed for their spaces, and the spaces for what the columns share.
            self._local = _Columns(env_id, kwargs, 0, num_envs)
            example = self._local.envs[0]
        else:
            example = probe
        for name in ("observation_space", "action_space"):
            space = getattr(example, name)
            if space.shape is None or space.dtype is None:
                raise ValueError(f"{env_id} has {name} {space}; expected a single array or number: flatten it first")
        self.num_envs = num_envs
        self.single_observation_space = example.observation_space
        self.single_action_space = example.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {**example.metadata, "autoreset_mode": AutoresetMode.DISABLED}
        self.render_mode = example.render_mode
        self.spec = example.spec
        self.timeout = timeout
        if probe is not None:
            probe.close()

        layout = (
            (self.single_observation_space.shape, self.single_observation_space.dtype),
            (self.single_action_space.shape, self.single_action_space.dtype),
            ((), np.dtype(np.float64)),
            *[((), np.dtype(np.bool_))] * 3,
            ((), np.dtype(np.int64)),
            (self.single_observation_space.shape, self.single_observation_space.dtype),
        )
        buffers = []
        for shape, dtype in layout:
            assert shape is not None
            size = max(1, num_envs * int(np.prod(shape)) * np.dtype(dtype).itemsize)
            buffers.append((context.RawArray("b", size), (num_envs, *shape), np.dtype(dtype).str))
        self._shared = _attach(buffers)
        self._shared.next_seed[:] = NOT_AHEAD
        self._begun: dict[int, tuple[int, dict[str, Any]]] = {}
        """Seed and info of episodes that columns have begun without having been told to."""
        self._seeds: list[int | None] = [None] * num_envs
        self._actions: list[list[Any]] = [[] for _ in range(num_envs)]
        if self._local is not None:
            self._local.attach(self._shared)
        share = np.array_split(np.arange(num_envs), max(workers, 1))
        for columns in share[:workers]:
            self._workers.append(_Worker(context, (env_id, kwargs, int(columns[0]), len(columns), buffers)))
        self._gather(max(START_TIMEOUT, timeout))

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Resets all columns, or those of the boolean array `options["reset_mask"]` [num_envs].

        `seed` is one per column (those of columns that are not reset are ignored), or the first column's, the others
        following. Returns the observations of all columns.
        """
        mask, seeds, others = parse_reset(self.num_envs, seed, options)
        chosen = {column: seeds[column] for column in np.flatnonzero(mask).tolist()}
        for column, column_seed in chosen.items():
            self._seeds[column] = column_seed
            self._actions[column] = []
        begun = {column: self._begun.pop(column, None) for column in chosen}
        infos = {}
        for column, ahead in begun.items():
            if ahead is not None and ahead[0] == chosen[column] and not others:
                del chosen[column]
                self._shared.obs[column] = self._shared.next_obs[column]
                infos[column] = ahead[1]
        if chosen:
            infos |= self._call("reset", chosen, others or None)
        self._shared.active[mask] = True
        self._shared.terminated[mask] = self._shared.truncated[mask] = False
        return self._shared.obs.copy(), self._collect(infos)

    def reset_ahead(self, seeds: Sequence[int | None]) -> None:
        """Tells what each column is going to be reset with when its episode has ended; None where that is open.

        Workers then do so without waiting to be asked, and `reset` with that seed hands out what is there already:
        results are the same. A picture of an ended column may show its next episode, though.
        """
        self._shared.next_seed[:] = [NOT_AHEAD if seed is None or not 0 <= seed < 2**63 else seed for seed in seeds]

    def step(
        self, actions: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Steps the columns that are inside an episode; see the class for the others."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        """Hands out the actions [num_envs, ...] and returns while the workers step."""
        shared = self._shared
        shared.action[:] = actions
        for column in np.flatnonzero(shared.active):
            self._actions[column].append(shared.action[column].copy())
        for worker in self._workers:
            worker.send(("step",))

    def step_wait(
        self,
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Waits for the step that `step_async` began."""
        told = self._gather() if self._workers else self._in_process("step")
        shared = self._shared
        for column, (_, begun) in told.items():
            if begun is not None:
                self._begun[column] = int(shared.next_seed[column]), begun
        infos = {column: info for column, (info, _) in told.items() if info}
        shared.active &= ~(shared.terminated | shared.truncated)
        return (
            shared.obs.copy(),
            shared.reward.copy(),
            shared.terminated.copy(),
            shared.truncated.copy(),
            self._collect(infos),
        )

    def render(self) -> tuple[Any, ...]:
        """The pictures of all columns."""
        frames = self._call("render", list(range(self.num_envs)))
        return tuple(frames[column] for column in range(self.num_envs))

    def render_column(self, column: int) -> Any:
        """The picture of one column."""
        return self._call("render", [column])[column]

    def state_dict(self) -> dict[str, Any]:
        """How every column came to where it is: reset seeds, and the actions of the episodes so far."""
        lengths = [len(actions) for actions in self._actions]
        empty = np.zeros((0, *self._shared.action.shape[1:]), self._shared.action.dtype)
        return {
            "seeds": list(self._seeds),
            "lengths": lengths,
            "actions": np.stack([action for column in self._actions for action in column]) if sum(lengths) else empty,
            "active": self._shared.active.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> NDArray[Any]:
        """Plays the episodes of `state_dict` again; returns the observations that they end with."""
        bounds = np.cumsum(state["lengths"])[:-1]
        episodes = np.split(np.asarray(state["actions"], self._shared.action.dtype), bounds)
        self._seeds = list(state["seeds"])
        self._begun.clear()
        self._actions = [list(actions) for actions in episodes]
        self._call("replay", dict(enumerate(zip(self._seeds, episodes, strict=True))))
        self._shared.active[:] = state["active"]
        return self._shared.obs.copy()

    def close_extras(self, **kwargs: Any) -> None:
        """Ends the workers. Called by `close`, once."""
        if self._local is not None:
            self._local.close()
        for worker in self._workers:
            worker.ask_to_close()
        for worker in self._workers:
            worker.close()

    def _call(self, method: str, *arguments: Any) -> dict[int, Any]:
        if self._local is not None:
            return self._in_process(method, *arguments)
        for worker in self._workers:
            worker.send((method, *arguments))
        return self._gather()

    def _in_process(self, method: str, *arguments: Any) -> dict[int, Any]:
        assert self._local is not None
        try:
            return getattr(self._local, method)(*arguments)
        except ValueError:
            raise  # the caller's mistake, in plain words
        except gym.error.DependencyNotInstalled as error:
            raise ValueError(" ".join(str(error).split())) from error
        except Exception as error:
            raise WorkerError(f"the environment failed: {type(error).__name__}: {error}") from error

    def _gather(self, timeout: float | None = None) -> dict[int, Any]:
        """One answer of every worker, merged."""
        merged: dict[int, Any] = {}
        timeout = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + timeout
        waiting = {worker.connection: worker for worker in self._workers}
        try:
            while waiting:
                ready = wait(list(waiting), timeout=max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise WorkerError(
                        f"a worker process has not answered for {timeout:g} s: its environment hangs, or the machine "
                        "is overloaded; workers=0 needs no process"
                    )
                for connection in ready:
                    merged.update(waiting.pop(connection).receive())  # pyright: ignore[reportArgumentType, reportCallIssue]
        except WorkerError:
            for worker in self._workers:
                worker.process.kill()
            raise
        return merged

    def _collect(self, infos: dict[int, dict[str, Any]]) -> dict[str, Any]:
        """Gymnasium's form of vector infos: an array a key, and a mask `_key` of the columns that gave one."""
        collected: dict[str, Any] = {}
        for column, info in infos.items():
            collected = self._add_info(collected, info, column)
        return collected


class _Worker:
    """A process with some columns, and our end of the pipe to it."""

    def __init__(self, context: Any, arguments: tuple[Any, ...]):
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def send(self, message: tuple[Any, ...]) -> None:
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def receive(self) -> dict[int, Any]:
        try:
            answer, failure = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._death() from None
        if failure is None:
            return answer
        summary, details = failure
        raise WorkerError(f"an environment failed in a worker process: {summary}\n{details.rstrip()}")

    def ask_to_close(self) -> None:
        with contextlib.suppress(OSError):  # it may be gone already
            self.connection.send(("close",))

    def close(self) -> None:
        """Waits for it to end, which it has been asked to."""
        self.process.join(timeout=5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()

    def _death(self) -> WorkerError:
        self.process.join(timeout=5)
        return WorkerError(f"a worker process died with exit code {self.process.exitcode}")


def _work(
    connection: Connection, env_id: str, kwargs: dict[str, Any], first: int, count: int, buffers: list[Any]
) -> None:
    """A worker's life: build the columns, then do as told until told to close, or the parent is gone."""
    # Ctrl-C reaches the whole process group; when to stop is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        columns = _Columns(env_id, kwargs, first, count)
        columns.attach(_attach(buffers))
        connection.send(({}, None))
        while True:
            method, *arguments = connection.recv()
            connection.send((getattr(columns, method)(*arguments), None))
            if method == "close":
                return
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except Exception as error:
        failure = (f"{type(error).__name__}: {error}", traceback.format_exc())
        with contextlib.suppress(OSError):  # nobody may be left to tell
            connection.send((None, failure))


def _end_with_parent() -> None:
    """Ends this process when its parent is gone, even in the middle of a step that never returns."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _attach(buffers: list[Any]) -> _Shared:
    return _Shared(
        *(np.frombuffer(raw, np.dtype(dtype), int(np.prod(shape))).reshape(shape) for raw, shape, dtype in buffers)
    )


def cpu_count() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cartpole3d_vector(
    num_envs: int = 1,
    *,
    workers: int | None = None,
    threads: int | None = None,
    continuous: bool = False,
    world: str = "bullet",
    **kwargs: Any,
) -> VectorEnv[Any, Any, Any]:
    """What `gymnasium.make_vec` builds for CartPole3D.

    World "bullet" is simulated by `workers` processes (see `WorkerVectorEnv`), world "batched" by `threads` of this one
    (see `envs.cartpole3d_vector`); there `workers` means threads, and 0 one that does not step in the background. World
    "device" is simulated on a GPU where there is one (see `envs.cartpole3d_device`), and has neither.
    """
    if world == "batched":
        from envs.cartpole3d_vector import BatchedCartPole3D  # compiled: Bullet does without

        overlap = workers != 0
        threads = max(1, workers) if threads is None and workers is not None else threads
        return BatchedCartPole3D(num_envs, threads=threads, overlap=overlap, continuous=continuous, **kwargs)
    if threads is not None:
        raise ValueError("threads is for world 'batched'; world 'bullet' has workers")
    if world == "device":
        from envs.cartpole3d_device import cartpole3d_tensors  # imports torch, which nothing else here does

        return cartpole3d_tensors(num_envs, continuous=continuous, **kwargs)
    env_id = "CartPole3DContinuous-v0" if continuous else "CartPole3D-v0"
    return WorkerVectorEnv(env_id, num_envs, workers=workers, kwargs={"world": world, **kwargs})


def make_vector(
    env_id: str, num_envs: int, *, workers: int | None = None, kwargs: dict[str, Any] | None = None
) -> VectorEnv[Any, Any, Any]:
    """The vector form of any registered environment with explicit resets: its own, or `WorkerVectorEnv`.

    An environment without a vector form of its own runs in this process unless `workers` says otherwise: most are a
    few lines of arithmetic, for which a process costs more than it gives.

    Raises:
        ValueError: the environment refuses its keywords.
        gymnasium.error.Error: the id is not registered.
    """
    kwargs = dict(kwargs or {})
    entry = gym.spec(env_id.rpartition(":")[2]).vector_entry_point
    # Ours keep the contract of this module, explicit resets and `state_dict`; others' vector forms need not.
    if isinstance(entry, str) and entry.startswith("envs."):
        # Those that are batches by nature have no processes to divide.
        if workers is not None and "workers" in inspect.signature(load_env_creator(entry)).parameters:
            kwargs["workers"] = workers
        return gym.make_vec(env_id, num_envs=num_envs, **kwargs)
    return WorkerVectorEnv(env_id, num_envs, workers=workers or 0, kwargs=kwargs)
