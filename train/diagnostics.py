"""Diagnostics of a training run: what its layers hold, how its losses bend, and what its convolutions see.

They look at seed 0, at an interval, on a batch drawn for them alone; nothing that is learnt depends on them.

RUN/diagnostics.csv        a row per look and loss: see `agents.curvature.Curvature`
RUN/layers.csv             a row per look, loss and tensor: norms and histograms of the values and of their gradient
RUN/diagnostics/STEP.png   of images: one as the network sees it, and what each convolution makes of it
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agents.base import Agent
from agents.curvature import curvature, gradients
from agents.lazy import torch
from agents.objectives import Diagnosable, Objective
from agents.streams import SeedStreams
from eval.images import tiled
from eval.runs import Run
from train.logs import CsvLog

DIAGNOSTICS_STREAM = 2
"""Consumer of a run's root seed, beside those of `eval.loop`."""
BINS = 30
"""Of a histogram, between the least and the greatest value."""
SEED = 0
"""The seed that is looked at."""


class Diagnostics:
    """Looks at an agent's losses now and then, and writes down what it sees.

    Args:
        agent: one that offers `objectives`.
        run: whose folder the logs go to, and whose config has the interval.

    Raises:
        ValueError: the agent has no losses to look at.
    """

    def __init__(self, agent: Agent, run: Run):
        config = run.config
        self.agent, self.folder, self.interval = check_diagnosable(agent), run.folder, config.diagnostics_interval
        roots = [np.random.SeedSequence(config.seed, spawn_key=(DIAGNOSTICS_STREAM, s)) for s in range(config.seeds)]
        self._streams = SeedStreams(roots, torch.device(config.device))
        self._looks = 0
        self._losses, self._layers = CsvLog(run.folder / "diagnostics.csv"), CsvLog(run.folder / "layers.csv")

    def look(self, step: int, board: Any) -> None:
        """Looks, if it is time and there is something to see.

        Args:
            step: environment steps per seed.
            board: TensorBoard's writer.
        """
        if step < (self._looks + 1) * self.interval:
            return
        objectives = self.agent.objectives(self._streams)
        if not objectives:
            return  # as soon as there is
        self._looks = step // self.interval
        for name, objective in objectives.items():
            self._look_at_loss(step, name, objective, board)
            self._look_at_layers(step, name, objective, board)
        self._look_at_images(step, next(iter(objectives.values())), board)

    def _look_at_loss(self, step: int, name: str, objective: Objective, board: Any) -> None:
        found = curvature(objective, self._streams, SEED)
        figures = {
            "loss": found.loss,
            "gradient_norm": found.gradient_norm,
            "max_norm": objective.max_norm,
            "lr": objective.lr,
            "smallest_eigenvalue": found.smallest,
            "largest_eigenvalue": found.largest,
            "along_gradient": found.along_gradient,
            "slope": found.slope,
            "bend": found.bend,
        }
        for figure, value in figures.items():
            if np.isfinite(value):
                board.add_scalar(f"diagnostics/{name}/{figure}", value, step)
        board.add_text(f"diagnostics/{name}/verdict", found.verdict, step)
        self._losses.write({"step": step, "seed": SEED, "loss_of": name, **figures, "verdict": found.verdict})

    def _look_at_layers(self, step: int, name: str, objective: Objective, board: Any) -> None:
        slopes = gradients(objective, SEED)[1]
        for layer, tensor in objective.params.items():
            row: dict[str, Any] = {"step": step, "seed": SEED, "loss_of": name, "tensor": layer}
            for what, values in (("value", tensor.detach()[SEED]), ("gradient", slopes[layer][SEED])):
                flat = values.flatten().cpu().numpy()
                board.add_histogram(f"{name}/{layer}/{what}", flat, step)
                counts, edges = np.histogram(flat, BINS)
                row |= {
                    f"{what}_norm": float(np.linalg.norm(flat)),
                    f"{what}_low": float(edges[0]),
                    f"{what}_high": float(edges[-1]),
                    f"{what}_counts": " ".join(map(str, counts)),
                }
            self._layers.write(row)

    def _look_at_images(self, step: int, objective: Objective, board: Any) -> None:
        encoder = objective.encoder
        if encoder.kind != "pixels":
            return
        one = objective.obs[:, :1]  # [S, 1, H, W, channels]
        with torch.no_grad():
            layers = [layer[SEED, 0].cpu().numpy() for layer in encoder.activations(objective.params, one)]
        picture = picture_of(one[SEED, 0].cpu().numpy(), layers)
        board.add_image("diagnostics/images", picture, step, dataformats="HWC")
        path = self.folder / "diagnostics" / f"{step:09d}.png"
        path.parent.mkdir(exist_ok=True)
        writing = path.with_name(f".{path.name}.writing")
        Image.fromarray(picture).save(writing, format="png")
        os.replace(writing, path)

    def state_dict(self) -> dict[str, Any]:
        """How long the files are, and where the stream stands."""
        return {
            "losses": self._losses.flush(),
            "layers": self._layers.flush(),
            "streams": self._streams.state_dict(),
            "looks": self._looks,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._losses.cut(state["losses"])
        self._layers.cut(state["layers"])
        self._streams.load_state_dict(state["streams"])
        self._looks = int(state["looks"])

    def close(self) -> None:
        self._losses.close()
        self._layers.close()


def picture_of(image: NDArray[np.uint8], layers: list[NDArray[np.floating]]) -> NDArray[np.uint8]:
    """An image as a network sees it, and what each convolution makes of it, below one another.

    Args:
        image: [H, W, 3 * frames], or fewer channels, which are shown in grey.
        layers: activations [C, H', W'] of each layer; the greatest of a layer is white.

    Returns:
        uint8 [height, width, 3].
    """
    height, width, channels = image.shape
    if channels % 3:
        frames = [np.repeat(image[..., c : c + 1], 3, -1) for c in range(channels)]
    else:
        frames = list(image.reshape(height, width, -1, 3).transpose(2, 0, 1, 3))
    bands = [tiled(frames, scale=3)]
    for layer in layers:
        grey = (255 * layer / max(float(layer.max()), 1e-12)).astype(np.uint8)
        bands.append(tiled([np.repeat(one[..., None], 3, -1) for one in grey], columns=16, scale=3))
    across = max(band.shape[1] for band in bands)
    return np.concatenate([np.pad(band, ((0, 8), (0, across - band.shape[1]), (0, 0))) for band in bands])


def check_diagnosable(agent: Agent) -> Diagnosable:
    """The agent, if it has losses to look at.

    Raises:
        ValueError: it has none.
    """
    if not isinstance(agent, Diagnosable):
        raise ValueError(
            f"--diagnostics looks at losses, and agent {type(agent).__name__} offers none; it works for dqn, naf, ddpg "
            "and reinforce"
        )
    return agent
