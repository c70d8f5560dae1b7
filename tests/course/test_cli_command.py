"""`kubenet-lab`: what it prints, its exit status, and that bad input never ends in a traceback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kubenet_lab
from kubenet_lab import cli
from kubenet_lab.course.doctor import TOOLS, Finding, examine
from kubenet_lab.errors import KubenetError, NotModelled

Run = Callable[..., tuple[int, str, str]]
PLACE = ("trace", "bookshop", "shop/web", "svc:shop/cart", "--port", "8080")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def go(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(words)
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return go


@pytest.mark.parametrize("command", ["", "start", "lab", "doctor", "trace", "pcap", "node", "pod", "outcomes", "rules"])
def test_help_by_example(run: Run, command: str) -> None:
    status, out, _ = run(*filter(None, [command, "--help"]))
    assert status == 0 and ("examples:" in out or "exit status:" in out)
    assert all(len(line) <= 160 for line in out.splitlines())


@pytest.mark.parametrize(
    "words",
    [[], ["walk"], ["trace"], ["trace", "bookshop"], ["trace", "bookshop", "a", "b", "--size", "big"], ["start", "a", "b"], ["--nonsense"],
     ["node"], ["node", "bookshop"], ["node", "bookshop", "worker-1", "ip", "route"], ["pod", "bookshop", "--", "ip"],
     ["pcap", "bookshop", "a", "b"],
     ["outcomes", "bookshop", "a"], ["rules"], ["rules", "bookshop", "worker-1"]],
    ids=" ".join,
)
def test_bad_words_are_answered_with_a_hint(run: Run, words: list[str]) -> None:
    status, out, err = run(*words)
    assert status == 2 and not out and "--help shows examples" in err and "Traceback" not in err


def test_version(run: Run) -> None:
    assert run("--version")[1].startswith("kubenet-lab ")


def test_a_request_that_arrives(run: Run) -> None:
    status, out, err = run(*PLACE)
    assert status == 0 and not err
    lines = out.splitlines()
    assert "✓ delivered" in lines[1] and any("flannel.1" in line for line in lines)


def test_the_short_form_has_a_line_per_hop(run: Run) -> None:
    trace = kubenet_lab.example("bookshop").connect("shop/web", "svc:shop/cart", port=8080)
    out = run(*PLACE)[1]
    for hop in trace.hops:
        assert any(line.split()[:1] == [str(hop.number)] and hop.title in line for line in out.splitlines())


def test_a_url_is_asked(run: Run) -> None:
    status, out, err = run("trace", "bookshop", "shop/web", "http://cart:8080")
    assert status == 0, err
    assert "resolve:" in out and "delivered" in out
    status, _, err = run("trace", "bookshop", "shop/web", "http://cart:8080", "--port", "80")
    assert status == 2 and "URL carries its port" in err


def test_explain(run: Run) -> None:
    status, out, _ = run(*PLACE, "--explain")
    assert status == 0 and "on a real node: " in out


def test_json(run: Run) -> None:
    status, out, _ = run(*PLACE, "--json")
    data = json.loads(out)
    assert status == 0 and data["verdict"] == "delivered" and len(data["hops"]) > 3


def test_pcap(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "way.pcap"
    status, out, _ = run(*PLACE, "--pcap", str(file))
    assert status == 0 and f"wrote {file}" in out
    assert file.read_bytes()[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1")
    assert run(*PLACE, "--pcap", str(file), "--json")[1].rstrip().endswith("}"), "JSON stays JSON"


def test_a_request_that_does_not_arrive(run: Run) -> None:
    status, out, err = run("trace", "bookshop", "shop/web", "shop/cart", "--port", "9999")
    assert status == 1 and not err and "✗ refused" in out


@pytest.mark.parametrize(
    "words",
    [
        ["bookshop", "shop/wbe", "svc:shop/cart"],
        ["bookshop", "shop/web", "svc:shop/none"],
        ["bokshop", "shop/web", "shop/cart"],
        ["no/such/file.yaml", "a/b", "c/d"],
        ["bookshop", "shop/web", "shop/cart", "--port", "70000"],
        ["bookshop", "shop/web", "shop/cart", "--port", "nosuchport"],
        ["bookshop", "shop/web", "shop/cart", "--protocol", "carrier-pigeon"],
        ["bookshop", "shop/web", "shop/cart", "--cni", "string-and-cans"],
        ["bookshop", "", ""],
        ["bookshop", "shop/web", "http://"],
        ["bookshop", "shop/web", "shop/cart", "--pcap", "no/such/folder/x.pcap"],
    ],
    ids=" ".join,
)
def test_bad_input_is_one_clear_message(run: Run, words: list[str]) -> None:
    status, _, err = run("trace", *words)
    assert status == 2 and err.startswith("kubenet-lab: ") and "Traceback" not in err and len(err) < 2000


@pytest.mark.parametrize(
    "words",
    [
        ["node", "bookshop", "worker-9", "--", "ip", "route"],
        ["node", "bookshop", "worker-1"],
        ["node", "bookshop", "worker-1", "--"],
        ["node", "bokshop", "worker-1", "--", "ip", "route"],
        ["node", "bookshop", "worker-1", "--", "ip", "netns", "add", "x"],
        ["node", "bookshop", "worker-1", "--cni", "string-and-cans", "--", "ip", "route"],
        ["pod", "bookshop", "shop/wbe", "--", "ip", "addr"],
        ["pcap", "bookshop", "shop/web", "svc:shop/cart", "--port", "8080", "--at", "worker-9/eth0", "-w", "x.pcap"],
        ["pcap", "bookshop", "shop/web", "svc:shop/cart", "--port", "8080", "-w", "no/such/folder/x.pcap"],
        ["pcap", "bookshop", "shop/web", "http://cart:8080", "--port", "80", "-w", "x.pcap"],
        ["outcomes", "bookshop", "shop/wbe", "svc:shop/cart"],
        ["outcomes", "bookshop", "shop/web", "svc:shop/cart", "--port", "70000"],
        ["outcomes", "bookshop", "shop/web", "http://cart:8080"],
        ["outcomes", "bookshop", "shop/web", "svc:shop/cart", "--port", "8080", "--via", "worker-1"],
        ["outcomes", "bookshop", "shop/web", "svc:shop/cart:8080", "--port", "8080"],
        ["outcomes", "bookshop", "shop/web", "svc:kube-system/kube-dns"],
        ["outcomes", "no/such/file.yaml", "a/b", "c/d"],
        ["rules", "bookshop"],
        ["rules", "bookshop", "--node", "worker-9"],
        ["rules", "bookshop", "--node", "worker-1", "--mode", "smoke-signals"],
        ["rules", "bookshop", "--node", "worker-1", "--service", "shop/crat"],
        ["rules", "bookshop", "--node", "worker-1", "--service", ""],
        ["rules", "bookshop", "--node", "worker-1", "--service", "shop/cart", "--written"],
    ],
    ids=" ".join,
)
def test_bad_input_of_other_commands(run: Run, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert status == 2 and not out and err.startswith("kubenet-lab: ") and "Traceback" not in err and len(err) < 2000
    assert not list(tmp_path.iterdir())


def test_outcomes(run: Run) -> None:
    cluster = kubenet_lab.example("bookshop")
    status, out, err = run("outcomes", "bookshop", "shop/web", "svc:shop/api", "--port", "8080")
    assert (status, out, err) == (0, f"{cluster.outcomes('shop/web', 'svc:shop/api', port=8080)}\n", "")
    status, out, _ = run("outcomes", "bookshop", "external:203.0.113.7", "node:worker-1", "--port", "30080", "--via", "worker-2", "--json")
    rows = json.loads(out)["outcomes"]
    assert status == 0 and [r["probability"] for r in rows] == ["1/2", "1/2"]
    assert all(r["answered_by"].startswith("shop/web-") for r in rows)
    assert run("outcomes", "bookshop", "shop/web", "svc:shop/api", "--port", "99")[0] == 1
    status, out, _ = run("outcomes", "bookshop", "shop/web", "shop/api", "--port", "99")
    assert status == 1 and "refused" in out


@pytest.mark.parametrize("dst", ["svc:shop/cart", "svc:shop/cart:http", "svc:shop/cart:8080", "cart:8080", "shop/cart:8080"])
def test_the_port_may_stand_behind_the_name_or_be_the_only_one(run: Run, dst: str) -> None:
    found = kubenet_lab.example("bookshop").outcomes("shop/web", "svc:shop/cart", port=8080)
    assert run("outcomes", "bookshop", "shop/web", dst) == (0, f"{found}\n", "")
    status, out, _ = run("trace", "bookshop", "shop/web", dst)
    assert status == 0 and ":8080 TCP" in out.splitlines()[0]


def test_a_port_that_was_not_said_is_told_when_it_fails(run: Run) -> None:
    for command in ("outcomes", "trace"):
        status, _, err = run(command, "bookshop", "shop/web", "shop/cart")
        assert status == 1 and "80 was asked for" in err
    assert run("outcomes", "bookshop", "shop/web", "shop/cart", "--protocol", "ICMP")[2] == ""


def test_mistyped_names_lead_on(run: Run) -> None:
    for words, said in (
        (["rules", "bookshop"], "--node worker-1, worker-2"),
        (["rules", "bookshop", "--node", "worker-1", "--service", "cart"], "nearest: shop/cart"),
        (["rules", "bookshop", "--node", "worker1"], "nearest: worker-1"),
        (["outcomes", "bookshop", "worker-1", "svc:shop/cart"], "node:worker-1"),
        (["outcomes", "bookshop", "shop/web", "svc:kube-system/kube-dns"], "dns (53/UDP)"),
    ):
        status, out, err = run(*words)
        assert status == 2 and not out and said in err


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_a_headless_service_has_no_rules_to_print(run: Run, mode: str) -> None:
    status, out, err = run("rules", "bookshop", "--node", "worker-1", "--mode", mode, "--service", "data/db")
    assert (status, out) == (1, "") and "data/db is headless" in err


def test_rules(run: Run) -> None:
    node = kubenet_lab.example("bookshop").node("worker-1")
    assert run("rules", "bookshop", "--node", "worker-1") == (0, str(node.iptables_save()), "")
    assert run("rules", "bookshop", "--node", "worker-1", "--mode", "iptables", "--written") == (0, str(node.iptables_written()), "")
    status, out, err = run("rules", "bookshop", "--node", "worker-1", "--service", "shop/cart")
    assert status == 0 and not err and out.startswith("*nat\n-A KUBE-SERVICES ") and out.endswith("COMMIT\n")
    assert {line for line in out.splitlines() if line.startswith("-A")} <= set(str(node.iptables_save()).splitlines())


def test_a_command_on_a_node(run: Run) -> None:
    cluster = kubenet_lab.example("bookshop")
    status, out, err = run("node", "bookshop", "worker-1", "--", "ip", "route")
    assert (status, out, err) == (0, str(cluster.node("worker-1").run("ip route")), "")
    status, out, err = run("pod", "bookshop", "shop/web", "--", "ip -br addr | grep eth0")
    assert status == 0 and cluster.pod("shop/web").ip in out and out.count("\n") == 1 and not err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["ip", "route", "get", "10.1.0.0/33"], 1, 'any valid prefix is expected rather than "10.1.0.0/33"'),
        (["ip", "link", "show", "nope"], 1, 'Device "nope" does not exist'),
        (["nmap", "-sS", "10.0.0.1"], 127, "kubenet-lab knows"),
        (["ip route | grep nothing-like-it"], 1, ""),
        (["ping -c 1 -W 1 10.244.200.9 > /dev/null"], 1, ""),
        (["true; false"], 1, ""),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_the_status_of_a_command_is_the_status(run: Run, words: list[str], status: int, said: str) -> None:
    found, out, err = run("node", "bookshop", "worker-1", "--", *words)
    assert found == status and not out and said in err and bool(said) == bool(err) and "Traceback" not in err


def test_edits_last_as_long_as_the_line(run: Run) -> None:
    gone = "ip route del default; ip route get 203.0.113.1"
    status, out, err = run("node", "bookshop", "worker-1", "--", gone)
    assert status == 2 and "Network is unreachable" in out + err
    assert run("node", "bookshop", "worker-1", "--", "ip", "route", "get", "203.0.113.1")[0] == 0


def test_a_capture(run: Run, tmp_path: Path, root: Path) -> None:
    way = tmp_path / "way.pcap"
    status, out, err = run("pcap", *PLACE[1:], "-w", str(way))
    trace = kubenet_lab.example("bookshop").connect("shop/web", "svc:shop/cart", port=8080)
    count = trace.to_pcap(tmp_path / "same.pcap")
    assert status == 0 and not err and f"wrote {count} frames to {way}" in out
    assert way.read_bytes() == (tmp_path / "same.pcap").read_bytes()
    status, out, _ = run("pcap", *PLACE[1:], "--at", "worker-1/cni0", "-w", str(tmp_path / "bridge.pcap"))
    assert status == 0 and "wrote" in out and (tmp_path / "bridge.pcap").read_bytes() != way.read_bytes()
    status, out, _ = run("pcap", "bookshop", "shop/web", "shop/cart", "--port", "9999", "-w", str(way))
    assert status == 1 and "refused" in out and len(way.read_bytes()) > 24


def test_a_capture_into_a_pipe(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "kubenet_lab", "pcap", *PLACE[1:], "-w", "-"]
    done = subprocess.run(command, capture_output=True, env=environment, cwd=root)
    assert done.returncode == 0 and done.stdout[:4] == b"\xd4\xc3\xb2\xa1" and b"wrote" in done.stderr


def test_a_folder_a_file_and_standard_input(run: Run, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bookshop = root / "datasets" / "bookshop"
    manifests = sorted(p for p in bookshop.rglob("*.yaml") if "dump" not in p.name)
    text = "\n---\n".join(p.read_text("utf-8") for p in manifests)
    (tmp_path / "all.yaml").write_text(text, encoding="utf-8")
    assert run("trace", str(tmp_path / "all.yaml"), *PLACE[2:])[0] == 0
    assert run("trace", str(tmp_path), *PLACE[2:])[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert run("trace", "-", *PLACE[2:])[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("kind: [unclosed"))
    status, _, err = run("trace", "-", "a/b", "c/d")
    assert status == 2 and "line" in err


def test_start(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("start")
    assert status == 0 and "course: wrote" in out and "Open course/00_" in out
    assert run("start")[1].startswith("course: kept")
    (tmp_path / "blocked").write_text("")
    status, _, err = run("start", "blocked")
    assert status == 2 and "cannot be written" in err


def test_lab_opens_the_first_notebook(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[list[str]] = []
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", SimpleNamespace(main=opened.append))  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    assert run("lab")[0] == 0
    assert run("lab", "mine", "--", "--no-browser", "--port", "9999")[0] == 0
    assert run("lab", "--", "--no-browser")[0] == 0
    first, second, third = ([word for word in words if word != "--allow-root"] for words in opened)
    assert first[0].startswith("course") and "00_" in first[0] and len(first) == 1
    assert second[0].startswith("mine") and second[1:] == ["--no-browser", "--port", "9999"] and third[1:] == ["--no-browser"]
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    assert all(("--allow-root" in words) == root for words in opened)


def test_doctor(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("doctor")
    assert status == 0, out
    assert "the lab answers" in out and "anywidget in JupyterLab" in out and "All that the course needs is here." in out
    assert {f"{name} (optional)" for name in TOOLS} <= {f.what for f in examine()}
    assert not list(tmp_path.iterdir()), "looking leaves nothing"


def test_doctor_reports_what_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise NotModelled("anything")

    monkeypatch.setattr(kubenet_lab, "example", broken)
    status, out, err = run("doctor")
    assert status == 1 and "✗ missing  the lab answers" in out and "NotModelled: not modelled: anything" in out and not err


def test_optional_tools_never_fail_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    tools = [f for f in examine() if f.what.endswith("(optional)")]
    assert tools and not any(f.ok or f.essential for f in tools) and str(tools[0]).startswith("— absent")
    assert str(Finding("x", True)) == "✓ ok       x"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=12).filter(lambda t: not t.startswith("-") and "\x00" not in t), min_size=2, max_size=2))
def test_whatever_is_typed_is_answered(words: list[str]) -> None:
    try:
        status = cli.main(["trace", "bookshop", *words])
    except SystemExit as end:
        status = int(end.code or 0)
    assert status in (0, 1, 2)


def test_surprises_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours is a bug, and shows its traceback; an error on purpose is a message."""
    monkeypatch.setattr(kubenet_lab, "example", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(PLACE)
    monkeypatch.setattr(kubenet_lab, "example", lambda *_, **__: (_ for _ in ()).throw(KubenetError("no")))
    assert cli.main(PLACE) == 2


def test_as_a_module_and_into_a_pipe(root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "kubenet_lab", *PLACE], capture_output=True, env=environment, cwd=root)
    assert done.returncode == 0 and b"? delivered" in done.stdout, done.stderr
    piped = f"'{sys.executable}' -m kubenet_lab {' '.join(PLACE)} --explain | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {piped}"], capture_output=True, env=environment, cwd=root)
    assert done.returncode == 0 and not done.stderr
