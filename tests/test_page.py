"""The page of a report: whole, self-contained, with something drawn in every chart; and in a real browser too."""

import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from envs.track import track1
from eval import paths
from eval.map_charts import draw_value_map
from eval.page import STYLE, Chart, svg_of
from eval.plots import draw_push_directions, read_episodes
from train.__main__ import main

COMMON = "--seeds 2 --workers 0 --device cpu"
LEARN = "--learning-starts 40 --batch-size 8 --memory-size 300 --hidden 8"
RUNS = {
    "cartpole3d": (
        f"dqn --env CartPole3D-v0 --env-args world=batched --steps 200 --envs 2 {COMMON} {LEARN}",
        {"Learning curve", "Success by direction of the push", "[action, reward] counts", "Deciles of return",
         "Action proportions over training", "Success, with 95% intervals"},
    ),
    "continuous": (
        f"naf --env CartPole3DContinuous-v0 --env-args world=batched --steps 200 --envs 2 {COMMON} {LEARN}",
        {"Direction of actions", "Magnitude of actions", "Actions, both components"},
    ),
    "drivebot": (
        f"furthest-sonar --env DriveBot-v0 --env-args max_steps=60 --steps 240 --envs 2 {COMMON}",
        {"Trajectories", "Greedy action over the track", "Action proportions over training"},
    ),
    "bandit": (f"greedy --env BernoulliBandit-v0 --steps 1000 {COMMON}", {"Regret", "Pulls of the best arm", "Return"}),
    "gridworld": (f"qtable --env GridWorld-v0 --steps 400 {COMMON}", {"Values and greedy actions", "Return"}),
}  # fmt: skip
"""A run of each family, and charts that its page must have."""
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """What a page has: its charts, its words, and whether its tags match."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.charts: dict[str, dict[str, str | None]] = {}
        self.drawn: dict[str, int] = {}
        self.links: list[str] = []
        self._chart: str | None = None
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("src", "href", "xlink:href", "action") if name in given]
        if tag == "svg":
            self._chart = str(given["aria-label"]).partition(". ")[0]
            self.charts[self._chart] = given
            self.drawn[self._chart] = 0
        elif self._chart is not None and tag in ("path", "use", "image") and "defs" not in self.open:
            self.drawn[self._chart] += 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "svg":
            self._chart = None


@pytest.fixture(scope="module", params=RUNS)
def evaluated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a run, and its evaluated folder with a video in it."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    assert main(shlex.split(f"train {RUNS[request.param][0]} --run {folder}")) == 0
    (folder / "videos").mkdir()
    (folder / "videos" / "best.gif").write_bytes(b"GIF89a")
    (folder / "videos" / ".best.writing.gif").write_bytes(b"GIF89a half of it")
    assert main(shlex.split(f"eval {folder} --episodes 4 --workers 0")) == 0
    return request.param, folder


def test_a_page_is_whole_and_needs_nothing_else(evaluated: tuple[str, Path]):
    name, folder = evaluated
    text = (folder / "eval" / "report.html").read_text()
    page = Page(text)
    assert set(page.charts) >= RUNS[name][1]
    for title, chart in page.charts.items():
        assert int(str(chart["data-marks"])) > 0 and page.drawn[title] > 10, title
        assert chart["role"] == "img" and chart["viewbox"]
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?:|url\((?!#)", text)
    assert len(text) < 2_000_000
    assert "data:image/gif;base64,R0lGODlh" in text
    for word in ("cartbot", "How to repeat the run", "numpy ", "&#34;seeds&#34;: 2", "prefers-color-scheme: dark"):
        assert word in text


def test_every_reference_within_a_page_is_there(evaluated: tuple[str, Path]):
    text = (evaluated[1] / "eval" / "report.html").read_text()
    ids = re.findall(r' id="([^"]+)"', text)
    assert {link for link in re.findall(r'(?:href="#|url\(#)([\w-]+)', text)} <= set(ids)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium to look at the page with")
def test_a_browser_shows_every_chart_without_complaint(evaluated: tuple[str, Path], tmp_path: Path):
    _, folder = evaluated
    # The page forbids scripts; what measures the charts needs leave, in a copy.
    text = (folder / "eval" / "report.html").read_text()
    measure = """<script>
      for (const svg of document.querySelectorAll("svg")) {
        const marks = [...svg.querySelectorAll("path, use, image")].filter(m => m.closest("defs") === null);
        const box = svg.getBoundingClientRect();
        const seen = marks.filter(m => { const b = m.getBoundingClientRect(); return b.width + b.height > 1; });
        const out = marks.filter(m => m.getBoundingClientRect().right > innerWidth + 1);
        svg.setAttribute("data-seen", [Math.round(box.width), seen.length, out.length].join(" "));
      }
      document.body.setAttribute("data-wide", document.documentElement.scrollWidth);
    </script></body>"""
    page = tmp_path / "page.html"
    page.write_text(text.replace("default-src 'none';", "script-src 'unsafe-inline';").replace("</body>", measure))
    for where, width in ((folder / "eval" / "report.html", 1280), (page, 500), (page, 1280)):
        shown = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
             f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900", where.as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert "CONSOLE" not in shown.stderr, shown.stderr
        if where == page:
            measured = re.findall(r'data-seen="(\d+) (\d+) (\d+)"', shown.stdout)
            assert len(measured) == len(Page(text).charts)
            for size, seen, out in measured:
                assert int(size) > 250 and int(seen) > 5 and int(out) == 0
            assert int(re.findall(r'data-wide="(\d+)"', shown.stdout)[0]) <= width


def test_charts_take_the_ink_and_the_paper_of_the_page():
    values, policy = np.arange(6.0), np.eye(2)[[0, 1, 0, 1, 0, 1]]
    with matplotlib.rc_context(STYLE):
        svg = svg_of(Chart('A "map"', "of <values>", draw_value_map((2, 3), values, policy, ("east", "west"))))
    assert "A &#34;map&#34;. of &lt;values&gt;" in svg
    assert "currentColor" in svg and "var(--paper)" in svg and "#000000" not in svg
    assert all(mark in svg for mark in ("5.00", "←", "→"))
    assert "DejaVu" not in svg and "xlink" not in svg and "http" not in svg


def test_places_of_a_field_have_room():
    places = paths.free_places(track1(), 0.25)
    assert len(places) > 50
    assert (places[:, 1] > 0.4 + 0.25).all() and not ((places < 4.4).all(1)).any()


def test_training_shares_say_when_a_policy_locked_in(tmp_path: Path):
    from eval.report import over_training

    header = "seed,step,length,return,action:left,action:right\n"
    rows = [f"0,{10 * n},10,1,{5 if n <= 20 else 0},{5 if n <= 20 else 10}" for n in range(1, 41)]
    (tmp_path / "episodes.csv").write_text(header + "\n".join(rows) + "\n")
    training = read_episodes(tmp_path, "run", "Some-v0", 1)
    told = over_training(training, lambda shares: ["collapsed: now"] if shares[1] > 0.9 else [])
    assert told["steps"] == list(range(20, 401, 20))
    assert told["pooled"]["action_proportions"] == [[0.5, 0.5]] * 10 + [[0.0, 1.0]] * 10
    assert told["warnings"] == ["seed 0: collapsed: now lately; so it has been since about step 200"]


def test_a_collapse_is_told_at_the_top_of_the_page(tmp_path: Path):
    line = f"train idle --env CartPole3D-v0 --env-args world=batched --steps 40 {COMMON} --run {tmp_path / 'r'}"
    assert main(shlex.split(line)) == 0
    assert main(shlex.split(f"eval {tmp_path / 'r'} --episodes 2 --env-args world=batched")) == 0
    text = (tmp_path / "r" / "eval" / "report.html").read_text()
    top = text.partition("</header>")[0]
    assert "Warning" in top and "greedy, all seeds: collapsed onto &#39;stop&#39;: 100.0% of all actions" in top


def test_a_push_that_never_came_is_no_failure():
    """Of 24 sectors one has a success, one a failure and 22 nothing: these are dotted, and the failure is blank."""
    figure = draw_push_directions([(0.1, True), (1.0, False)])
    bars = [bar for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    assert sum(bar.get_hatch() == ".." for bar in bars) == 22
    assert sum(bar.get_height() == 1 and not bar.get_hatch() for bar in bars) == 1
    plt.close(figure)
