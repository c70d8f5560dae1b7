"""`import kubenet_lab` stays light: what it loads, and what only a figure, a table or a widget loads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "pandas", "numpy", "matplotlib", "networkx", "ipywidgets", "anywidget", "traitlets", "IPython", "jupyterlab", "jupyter_core",
    "nbformat", "tornado", "zmq", "dns", "psutil", "PIL",
)  # fmt: skip
#: what the face may load besides the standard library
MAY = {"kubenet_lab", "msgspec", "yaml", "_yaml", "typing_extensions", "cython_runtime"}  # the last two: of msgspec and libyaml


def loaded(code: str) -> set[str]:
    program = f"import sys; before = set(sys.modules)\n{code}\nimport json; print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def test_the_face_loads_nothing_heavy() -> None:
    found = tops(loaded("import kubenet_lab"))
    assert not found & set(HEAVY)
    others = found - set(sys.stdlib_module_names) - MAY
    assert not {name for name in others if not name.startswith("_")}, "new libraries at import: list them, with a reason"


@pytest.mark.parametrize("library", ["pandas", "matplotlib", "ipywidgets", "networkx", "numpy"])
def test_a_question_is_answered_without(library: str) -> None:
    code = (
        "import kubenet_lab as kn\n"
        "trace = kn.example('bookshop').connect('shop/web', 'svc:shop/cart', port=8080)\n"
        "assert trace, trace; str(trace.explain())"
    )
    assert library not in tops(loaded(code))
