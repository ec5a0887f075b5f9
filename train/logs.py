"""What a training run writes down: `metrics.csv`, `episodes.csv`, and the same figures for TensorBoard."""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.episodes import Episode, format_pairs
from eval.tasks import ActionTable


class CsvLog:
    """Rows of a CSV file, written whole, and cut back to what a checkpoint knew when a run is resumed.

    The columns are those of the first row, or of the file that is there.
    """

    def __init__(self, path: Path):
        self.path = path
        self._columns: list[str] = []
        if path.exists():
            with open(path, newline="") as file:
                self._columns = next(csv.reader(file), [])
        self._file = open(path, "a", newline="")  # noqa: SIM115 - open as long as the run

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row. Columns that the file does not have are left out."""
        text = io.StringIO()
        writer = csv.writer(text)
        if not self._columns:
            self._columns = list(row)
            writer.writerow(self._columns)
        writer.writerow([_cell(row.get(column)) for column in self._columns])
        self._file.write(text.getvalue())

    def flush(self) -> int:
        """Brings the rows to the disk; returns the file's size in bytes."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def cut(self, size: int) -> None:
        """Forgets what was written after the file had `size` bytes.

        Raises:
            ValueError: it has fewer.
        """
        self._file.flush()
        found = self.path.stat().st_size
        if found < size:
            raise ValueError(
                f"damaged run: {self.path} has {found:,} bytes, and the checkpoint knows of {size:,}; "
                f"put the whole file back, or train the run again"
            )
        self._file.truncate(size)
        self._file.seek(size)
        if not size:
            self._columns = []

    def close(self) -> None:
        self._file.close()


class TrainingLog:
    """All logs of a run."""

    def __init__(self, folder: Path, table: ActionTable, metric_names: Sequence[str]):
        self.metrics = CsvLog(folder / "metrics.csv")
        self.episodes = CsvLog(folder / "episodes.csv")
        self._folder, self._table, self._metric_names = folder, table, metric_names

    @cached_property
    def board(self) -> Any:
        """TensorBoard's writer, which makes a file as soon as it is there."""
        from torch.utils.tensorboard.writer import SummaryWriter  # a second of imports that only training needs

        threading.excepthook = _raised_again
        return SummaryWriter(str(self._folder / "tensorboard"))

    def episode(self, episode: Episode) -> None:
        """One finished episode."""
        success = episode.success
        row = {
            "seed": episode.seed,
            "episode": episode.number,
            "step": episode.end_step,
            "reset_seed": episode.info["reset_seed"],
            "length": episode.length,
            "return": episode.total_reward,
            "terminated": int(episode.terminated),
            "success": "" if success is None else int(success),
        }
        row |= {f"action:{name}": n for name, n in zip(self._table.names, episode.action_counts, strict=True)}
        row["action_rewards"] = format_pairs(episode.action_rewards, self._table.names)
        self.episodes.write(row)

    def figures(
        self, step: int, seconds: float, metrics: dict[str, NDArray[np.floating]], recent: Sequence[Sequence[Episode]]
    ) -> None:
        """Figures of learning and of the episodes of late, a row per seed.

        Args:
            step: environment steps per seed.
            seconds: of training so far.
            metrics: from the agent, each [S].
            recent: episodes since the last call, per seed.
        """
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        shown = Summary()  # of all seeds at once: an event for each figure would take a tenth of a short run's time
        for seed, episodes in enumerate(recent):
            row: dict[str, Any] = {"step": step, "seed": seed, "seconds": round(seconds, 2), "episodes": len(episodes)}
            figures = {
                "return": np.mean([e.total_reward for e in episodes]) if episodes else np.nan,
                "length": np.mean([e.length for e in episodes]) if episodes else np.nan,
                **{name: metrics[name][seed] if name in metrics else np.nan for name in self._metric_names},
            }
            counts = (
                np.sum([e.action_counts for e in episodes], axis=0) if episodes else np.zeros(len(self._table.names))
            )
            figures |= {
                f"share:{name}": count / max(1, np.sum(counts))
                for name, count in zip(self._table.names, counts, strict=True)
            }
            for name, value in figures.items():
                if np.isfinite(value):
                    shown.value.add(tag=f"{name.replace(':', '/')}/seed{seed}", simple_value=float(value))
            self.metrics.write(row | figures)
        self.board.file_writer.add_summary(shown, step)

    def state_dict(self) -> dict[str, Any]:
        """How long the files are."""
        self.board.flush()
        return {"metrics": self.metrics.flush(), "episodes": self.episodes.flush()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.metrics.cut(state["metrics"])
        self.episodes.cut(state["episodes"])

    def close(self) -> None:
        self.metrics.close()
        self.episodes.close()
        if "board" in self.__dict__:
            self.board.close()


def _raised_again(args: threading.ExceptHookArgs) -> None:
    """Says nothing of what ends TensorBoard's thread: the next who writes to it is told, and tells."""
    if type(args.thread).__name__ != "_AsyncWriterThread":
        threading.__excepthook__(args)


def _cell(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{float(value):.6g}"
    return value
