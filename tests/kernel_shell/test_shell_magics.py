"""`%node`, `%pod` on a line and over a cell: what they print, whose cluster they take, and that no mistake ends in a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kubenet_lab as kn
from kubenet_lab import magics

Cell = Callable[[str], tuple[str, str]]


@pytest.fixture
def ipython(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell.instance()
    magics.load_ipython_extension(shell)
    yield shell
    shell.reset()
    interactive.InteractiveShell.clear_instance()


@pytest.fixture
def cell(ipython: Any, capsys: pytest.CaptureFixture[str]) -> Cell:
    """Runs a cell; (what it printed, what it complained about)."""
    ipython.user_ns["cluster"] = kn.example("bookshop")

    def run(text: str) -> tuple[str, str]:
        capsys.readouterr()
        done = ipython.run_cell(text)
        assert done.error_in_exec is None and done.error_before_exec is None, done
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return out, err

    return run


def test_a_line(cell: Cell, ipython: Any) -> None:
    cluster = ipython.user_ns["cluster"]
    out, err = cell("%node worker-1 ip route")
    assert out == f"worker-1# ip route\n{cluster.node('worker-1').run('ip route')}" and not err
    out, err = cell("%pod shop/web ip -br addr | grep eth0")
    pod = cluster.pod("shop/web")
    assert out.startswith(f"{pod.name}# ip -br addr | grep eth0\n") and pod.ip in out and out.count("\n") == 2 and not err


def test_a_cell(cell: Cell) -> None:
    out, _ = cell("%%node worker-1\n# a comment\nip -br link show cni0\n\nip route \\\n  show default\n")
    assert out.split("\n")[0] == "worker-1# ip -br link show cni0" and "worker-1# ip route    show default\ndefault via" in out
    assert "# a comment" not in out
    assert cell("%%node worker-1 ip -br link show cni0\nip route show default")[0].count("worker-1#") == 2, "the line's command comes first"


def test_quotes_and_pipes_stay_as_typed(cell: Cell) -> None:
    assert cell("%node worker-1 echo \"a  b\" 'c|d'")[0] == "worker-1# echo \"a  b\" 'c|d'\na  b c|d\n"
    assert cell("%node worker-1 echo it\\'s")[0].endswith("\nit's\n")


def test_variables_of_the_notebook(cell: Cell, ipython: Any) -> None:
    ipython.user_ns["target"] = "10.244.1.5"
    ipython.user_ns["other"] = ipython.user_ns["cluster"].copy()
    assert "dev flannel.1" in cell("%node worker-1 ip route get {target}")[0]
    assert cell("%node worker-1 ip route del 10.244.1.0/24")[1] == ""
    assert "flannel.1" not in cell("%node worker-1 ip route get $target")[0]
    assert "dev flannel.1" in cell("%node --cluster other worker-1 ip route get $target")[0]
    for where in ("--cluster=other worker-1", "worker-1 --cluster other", "worker-1 --cluster=other"):
        assert "dev flannel.1" in cell(f"%node {where} ip route get {{target}}")[0], where


def test_what_a_tool_refuses_is_printed(cell: Cell) -> None:
    assert cell("%node worker-1 ip route add 10.9.0.0/33 dev cni0") == ("worker-1# ip route add 10.9.0.0/33 dev cni0\n" + 'Error: any valid prefix is expected rather than "10.9.0.0/33".\n', "")
    out, _ = cell("%%node worker-1\nnmap\nip -br link show cni0")
    assert "nmap: command not found; kubenet-lab knows" in out and "cni0" in out, "the next line runs all the same"
    assert "not modelled: ip netns" in cell("%node worker-1 ip netns")[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%node", "which node? As in: node worker-1"),
        ("%pod", "which pod? As in: pod shop/web"),
        ("%node worker-1", "which command? %node worker-1 ip route"),
        ("%node worker-9 ip route", "nearest: worker-2, worker-1"),
        ("%pod shop/wbe ip addr", "nearest: "),
        ("%node --frob worker-1 ip route", "option '--frob' is unknown"),
        ("%node --cluster nope worker-1 ip route", "clusters: cluster: add --cluster cluster"),
        ("%node --cluster text worker-1 ip route", "text is a str, not a cluster"),
        ("%node --cluster", "--cluster which?"),
        ("%%node\nip route", "which node?"),
        ("%%pod nobody/there\nip route", "no "),
    ],
    ids=lambda v: v.splitlines()[0] if v.startswith("%") else None,
)
def test_a_mistake_is_a_sentence(cell: Cell, ipython: Any, line: str, said: str) -> None:
    ipython.user_ns["text"] = "x"
    out, err = cell(line)
    assert said in err and not out and err.count("\n") == 1


def test_without_a_cluster(cell: Cell, ipython: Any) -> None:
    del ipython.user_ns["cluster"]
    assert 'make one first: cluster = kn.example("bookshop")' in cell("%node worker-1 ip route")[1]


@pytest.mark.parametrize("kind", ["node", "pod"])
def test_help(cell: Cell, ipython: Any, kind: str) -> None:
    for line in (f"%{kind} --help", f"%{kind} -h"):
        out, err = cell(line)
        assert f"%{kind} " in out and f"%%{kind} " in out and "--cluster other" in out and f"cluster.{kind}(" in out and not err
    assert ipython.find_line_magic(kind).__doc__ == ipython.find_cell_magic(kind).__doc__ == magics._help(kind)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30), st.none() | st.text(max_size=30))
def test_whatever_is_typed(capsys: pytest.CaptureFixture[str], line: str, text: str | None) -> None:
    names = {"cluster": _CLUSTER}
    for kind in ("node", "pod"):
        magics._quiet(kind, line, text, names)
        magics._quiet(kind, f"{'worker-1' if kind == 'node' else 'shop/web'} {line}", text, names)


_CLUSTER = kn.example("bookshop")


def test_unloading(ipython: Any) -> None:
    magics.unload_ipython_extension(ipython)
    assert ipython.find_line_magic("node") is None and ipython.find_cell_magic("pod") is None
    assert magics.register_if_ipython() and ipython.find_line_magic("node") is not None
