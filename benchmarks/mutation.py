"""Mutation testing of the kernels: does a test fail when one operator, number or branch is wrong?

    NUMBA_DISABLE_JIT=1 python benchmarks/mutation.py [kernel ...] [--list]

Every comparison, sum, product, number, `and`, `min` and `max` of `smallcaps_assets/kernels` is
changed by itself, and the tests that concern its module run in a process of their own until one
fails. Mutants that no test kills must be in `mutation_survivors.csv` with the reason why they
change no result; others are named, and the exit code is 1. Plain Python, since the code of a
compiled function can't be exchanged.
"""

from __future__ import annotations

import ast
import copy
import csv
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType

ROOT = Path(__file__).parents[1]
KERNELS = ROOT / "smallcaps_assets" / "kernels"
TESTS = ROOT / "smallcaps_assets_tests"
SURVIVORS = Path(__file__).with_name("mutation_survivors.csv")
PROCESSES = 2
# Of processor time; an endless loop is a mutant killed.
SECONDS = 30
GOLDEN = "domain/test_golden.py"
CONCERNED = {
    "barriers": (GOLDEN, "kernels/test_barrier_kernels.py", "domain/labels/test_triple_barrier.py"),
    "bars": (GOLDEN, "kernels/test_bar_kernels.py", "domain/bars/test_build.py"),
    "checks": ("domain/test_guards.py", "domain/bars/test_build.py"),
    "features": ("kernels/test_feature_kernels.py", "domain/bars/test_features.py"),
    "minutes": ("kernels/test_pattern_kernels.py", "kernels/test_feature_kernels.py"),
    "patterns": ("kernels/test_pattern_kernels.py", "domain/patterns/test_events.py"),
    "quotes": ("kernels/test_quote_kernels.py", "domain/bars/test_quote_features.py"),
    "series": (GOLDEN, "kernels/test_weight_kernels.py"),
    "sweep": ("domain/bars/test_sweep.py",),
    "ticks": (
        GOLDEN,
        "kernels/test_tick_kernels.py",
        "kernels/test_bar_kernels.py",
        "domain/ticks/test_tape.py",
    ),
    "weights": (GOLDEN, "kernels/test_weight_kernels.py", "domain/labels/test_weights.py"),
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Pow: ast.Mult,
}
NAMES = {"min": "max", "max": "min", "fmin": "fmax", "fmax": "fmin", "ceil": "floor"}


@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    module: str
    function: str
    line: int
    before: str
    after: str
    code: CodeType

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names the mutant whatever else changes in the file."""
        return self.module, self.function, self.before, self.after


# Mutants -----------------------------------------------------------------------------------------
def changes_of(node: ast.AST) -> Iterator[ast.AST]:
    """Copies of a node with one thing wrong."""
    if isinstance(node, ast.Compare):
        for n, operator in enumerate(node.ops):
            for wrong in COMPARISONS.get(type(operator), ()):
                changed = copy.deepcopy(node)
                changed.ops[n] = wrong()
                yield changed
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        changed = copy.deepcopy(node)
        changed.op = OPERATORS[type(node.op)]()
        yield changed
    elif isinstance(node, ast.BoolOp):
        changed = copy.deepcopy(node)
        changed.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield changed
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield copy.deepcopy(node.operand)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        value = not node.value if isinstance(node.value, bool) else node.value + 1
        yield ast.copy_location(ast.Constant(value), node)
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield ast.copy_location(ast.Name(NAMES[node.id], node.ctx), node)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield ast.copy_location(ast.Attribute(node.value, NAMES[node.attr], node.ctx), node)
    elif isinstance(node, ast.IfExp):
        yield copy.deepcopy(node.body)
        yield copy.deepcopy(node.orelse)
    elif isinstance(node, ast.Break | ast.Continue):
        yield ast.copy_location(ast.Pass(), node)


def mutants_of(module: str) -> Iterator[Mutant]:
    """Every mutant of a kernel's functions, decorators and signatures left alone."""
    tree = ast.parse((KERNELS / f"{module}.py").read_text())
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        function.decorator_list = []
        for statement, parent, field, place in places(function):
            node = getattr(parent, field) if place is None else getattr(parent, field)[place]
            before = ast.unparse(header(statement))
            for changed in changes_of(node):
                put(parent, field, place, changed)
                after = ast.unparse(header(changed if node is statement else statement))
                code = function_code(function)
                put(parent, field, place, node)
                yield Mutant(module, function.name, statement.lineno, before, after, code)


def places(function: ast.FunctionDef) -> Iterator[tuple[ast.stmt, ast.AST, str, int | None]]:
    """Every node of the body: its statement, and where it hangs."""

    def below(node: ast.AST, statement: ast.stmt | None) -> Iterator:
        for field, value in ast.iter_fields(node):
            children = value if isinstance(value, list) else [value]
            for n, child in enumerate(children):
                if not isinstance(child, ast.AST):
                    continue
                owner = child if isinstance(child, ast.stmt) else statement
                is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
                if owner is None or is_text:
                    continue
                yield owner, node, field, n if isinstance(value, list) else None
                yield from below(child, owner)

    yield from below(ast.Module(function.body, []), None)


def put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


def header(statement: ast.AST) -> ast.AST:
    """A statement without its body, so that a loop is named by its first line."""
    if not hasattr(statement, "body") or isinstance(statement, ast.IfExp):
        return statement
    short = copy.copy(statement)
    short.body = [ast.Expr(ast.Constant(...))]  # type: ignore[attr-defined]
    if hasattr(short, "orelse"):
        short.orelse = []  # type: ignore[attr-defined]
    return short


def function_code(function: ast.FunctionDef) -> CodeType:
    module = ast.fix_missing_locations(ast.Module([function], []))
    compiled = compile(module, "mutant", "exec")
    return next(c for c in compiled.co_consts if isinstance(c, CodeType))


# Runs --------------------------------------------------------------------------------------------
def survives(mutant: Mutant) -> bool:
    """Whether all tests that concern the module pass with the mutant; called in a fork."""
    import pytest
    from hypothesis import Phase, settings

    # Some of the state is unsigned or overflows in a mutant; that is no news.
    settings.register_profile(
        "mutation", max_examples=40, deadline=None, derandomize=True, database=None,
        phases=(Phase.explicit, Phase.generate),
    )  # fmt: skip
    function = getattr(import_module(f"smallcaps_assets.kernels.{mutant.module}"), mutant.function)
    assert isinstance(function, FunctionType), "set NUMBA_DISABLE_JIT=1"
    function.__code__ = mutant.code
    paths = [str(TESTS / path) for path in CONCERNED[mutant.module]]
    quiet = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    result = pytest.main([*quiet, "--hypothesis-profile=mutation", *paths])
    return result == pytest.ExitCode.OK


def start(mutant: Mutant) -> int:
    """The process id of a run; it exits with 0 when the mutant survives, a signal kills it."""
    child = os.fork()
    if child:
        return child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    try:
        os._exit(0 if survives(mutant) else 1)
    finally:
        os._exit(2)


def alive(mutants: list[Mutant]) -> list[Mutant]:
    """Those that no test kills, in order."""
    running: dict[int, Mutant] = {}
    survivors: list[Mutant] = []
    waiting = list(reversed(mutants))
    while waiting or running:
        while waiting and len(running) < PROCESSES:
            mutant = waiting.pop()
            running[start(mutant)] = mutant
        child, status = os.wait()
        mutant = running.pop(child)
        if status == 0:
            survivors.append(mutant)
    return sorted(survivors, key=lambda m: (m.line, m.after))


def explained() -> dict[tuple[str, ...], str]:
    """Reasons of known survivors."""
    if not SURVIVORS.exists():
        return {}
    with SURVIVORS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["module"], r["function"], r["before"], r["after"]): r["reason"] for r in rows}


def import_all() -> None:
    """Everything that the forks share."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for name in ("polars", "hypothesis", "pytest", "sklearn.linear_model"):
        import_module(name)
    domain = import_module("smallcaps_assets.domain")
    for name in domain.__all__:
        getattr(domain, name)


def main() -> None:
    if os.environ.get("NUMBA_DISABLE_JIT") != "1":
        sys.exit("set NUMBA_DISABLE_JIT=1; compiled functions can't be mutated")
    import_all()
    names = [a for a in sys.argv[1:] if not a.startswith("--")] or sorted(CONCERNED)
    reasons, unexplained, total, survived = explained(), 0, 0, 0
    for name in names:
        began, mutants = time.perf_counter(), list(mutants_of(name))
        left = alive(mutants)
        total, survived = total + len(mutants), survived + len(left)
        seconds = time.perf_counter() - began
        print(f"{name:<10}{len(mutants):>5} mutants, {len(left):>3} survive, {seconds:>5.0f} s")
        for mutant in left:
            reason = reasons.get(mutant.key, "UNEXPLAINED")
            unexplained += reason == "UNEXPLAINED"
            if reason == "UNEXPLAINED" or "--list" in sys.argv:
                print(f"  {mutant.function}:{mutant.line}  {mutant.before}\n"
                      f"      ->  {mutant.after}\n      {reason}", flush=True)  # fmt: skip
    print(f"{total} mutants, {total - survived} killed, {survived - unexplained} explained, "
          f"{unexplained} unexplained")  # fmt: skip
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
