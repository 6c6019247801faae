# SPDX-License-Identifier: BSD-2-Clause
"""`_native.pyi` says what the extension has: the same names, each with as many arguments."""

import ast
import importlib.util
from pathlib import Path

import pytest

from netbe import _native


def _stub() -> dict[str, tuple[int, str]]:
    """The functions of ``lib`` in the stub, with how many arguments each takes and what it gives; -1: a constant."""
    found = importlib.util.find_spec("netbe")
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).with_name("_native.pyi").read_text())
    names: dict[str, tuple[int, str]] = {}
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "_Lib")
    for node in cls.body:
        if isinstance(node, ast.FunctionDef):
            assert not node.args.args  # all are positional: C has no keywords
            assert node.returns is not None
            names[node.name] = len(node.args.posonlyargs) - 1, ast.unparse(node.returns)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = -1, "int"
    return names


STUB = _stub()


def test_the_stub_and_the_extension_have_the_same_names() -> None:
    assert sorted(STUB) == sorted(dir(_native.lib))
    assert len(STUB) > 30


@pytest.mark.parametrize("name", sorted(STUB))
def test_each_function_takes_as_many_arguments_and_gives_what_the_stub_says(name: str) -> None:
    thing = getattr(_native.lib, name)
    count, result = STUB[name]
    if count < 0:
        assert isinstance(thing, int)
    else:
        kind = _native.ffi.typeof(thing)
        assert len(kind.args) == count
        assert {"primitive": "int", "void": "None"}.get(kind.result.kind, "CData") == result
