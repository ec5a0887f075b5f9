"""Who may import whom, and what no module may do: read from the sources, nothing is run."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "envs": {"envs"},
    "agents": {"agents"},
    "eval": {"eval", "agents", "envs"},
    "train": {"train", "eval", "agents", "envs"},
}
"""The houses, and which of them each may import."""
MODULES = sorted(path for house in ALLOWED for path in (ROOT / house).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Every imported module by its full name, those within functions and TYPE_CHECKING too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert node.module is not None
            yield node.module, node
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value, ast.Expr(node, lineno=node.lineno)


def houses_imported(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name, _ in imports(tree)} & (set(ALLOWED) | {"tests"})


def test_there_is_something_to_look_at():
    assert len(MODULES) > 30
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(ALLOWED)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_houses_import_only_what_stands_below_them(path: Path):
    house = path.relative_to(ROOT).parts[0]
    assert houses_imported(parse(path)) <= ALLOWED[house]


RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
"""Modules whose reading runs what was written."""
FORBIDDEN = {"eval", "exec", "torch.load", "torch.save", "torch.hub.load", "yaml.load", "numpy.load", "np.load"}
"""Functions that run what they are given, or may."""


def offences(tree: ast.AST) -> Iterator[str]:
    for name, node in imports(tree):
        if name.split(".")[0] in RUNS_CODE or (name in FORBIDDEN and "." in name):  # `eval` is also a house
            yield f"line {node.lineno}: import of {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in FORBIDDEN:
            yield f"line {node.lineno}: {ast.unparse(node.func)}(...)"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield f"line {node.value.lineno}: allow_pickle"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_that_is_read_is_run(path: Path):
    assert list(offences(parse(path))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import load",
        "def f():\n    import pickle as p",
        "eval('1')",
        "x = [exec(c) for c in y]",
        "torch.load(path)",
        "from torch import load",
        "np.load(path, allow_pickle=True)",
        "importlib.import_module('pickle')",
    ],
)
def test_offences_are_found(code: str):
    assert list(offences(ast.parse(code)))


def test_harmless_code_is_none():
    assert not list(offences(ast.parse("agent.eval()\nmodel.load(1)\nfrom eval.loop import eval_all\neval_all()")))


@pytest.mark.parametrize(
    "code",
    ["import eval.loop", "from eval import loop", "def f():\n    from train.logs import CsvLog", "import train as t"],
)
def test_imports_are_found_wherever_they_stand(code: str):
    assert houses_imported(ast.parse(code)) & {"eval", "train"}


def bullet_imports(path: Path) -> list[tuple[int, bool]]:
    """Line of each import of PyBullet, and whether it stands inside a function."""
    tree = parse(path)
    inside = {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(function)
    }
    found = [(node.lineno, node) for name, node in imports(tree) if name.split(".")[0].startswith("pybullet")]
    return [(line, id(node if not isinstance(node, ast.Expr) else node.value) in inside) for line, node in found]


def test_pybullet_is_imported_only_where_a_bullet_world_is_built():
    for path in MODULES:
        found = bullet_imports(path)
        if name_of(path) == "envs/bullet.py":
            assert found and all(within for _, within in found)
        else:
            assert not found, f"{name_of(path)} imports PyBullet: {found}"


def test_no_module_is_named_like_one_of_the_standard_library():
    assert not [name_of(path) for path in MODULES if path.stem in sys.stdlib_module_names and path.stem != "__main__"]
