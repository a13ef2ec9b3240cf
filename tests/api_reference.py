"""docs/api.md, made of the docstrings of the Python API: python -m tests.api_reference"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orchestrator

FILE = Path(__file__).parents[1] / "docs" / "api.md"
HEAD = """\
# Python API

Made of the docstrings by `python -m tests.api_reference`; a test compares it with the code. Every
name here is imported from `orchestrator`. How to use them: [use.md](use.md), the README's *From
Python*, and for callbacks [trackers.md](trackers.md).
"""
#: What people look for first.
FIRST = ("Policy", "Plan", "Reply", "create_fine_tuned_model", "acreate_fine_tuned_model")


def reference() -> str:
    """The whole file."""
    rest = [name for name in orchestrator.__all__ if name not in FIRST]
    parts = [HEAD]
    for name in (*FIRST, *rest):
        parts += _entry(name, getattr(orchestrator, name))
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> Iterator[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]
    yield f"## {name}\n"
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        yield _code([_signature(name, tree)])
        yield _prose(tree)
        return
    assert isinstance(tree, ast.ClassDef)
    yield _prose(tree)
    fields = [f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
              for node in tree.body if isinstance(node, ast.AnnAssign)]  # fmt: skip
    if fields:
        yield _code(fields)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name == "__init__" and len(node.args.args) + len(node.args.kwonlyargs) > 1:
            yield _code([_signature(name, node)])
        if not node.name.startswith(("_", "model_")) and ast.get_docstring(node):
            yield f"### {name}.{node.name}\n"
            if "property" not in {ast.unparse(each) for each in node.decorator_list}:
                yield _code([_signature(node.name, node)])
            yield _prose(node)


def _signature(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """As it is called, without ``self``; one parameter per line if it is long."""
    arguments = node.args
    if arguments.args and arguments.args[0].arg in {"self", "cls"}:
        arguments.args = arguments.args[1:]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and name == node.name else ""
    waited = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    short = f"{waited}{name}({ast.unparse(arguments)}){returns}"
    return "\n    ".join(textwrap.wrap(short, 90, break_long_words=False))


def _prose(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").replace("``", "`") + "\n"


def _code(lines: list[str]) -> str:
    return "\n".join(["```text", *lines, "```\n"])


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
