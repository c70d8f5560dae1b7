"""cat, ls, rm, redirections and patterns: over real files and over the lab's the same output, status and files left."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kubenet_lab.errors import CommandError, NotModelled
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.shell import Files, Shell
from kubenet_lab.kernel.state import State

HOME = "/var/lib/cni/networks/cbr0"
START = {"10.244.1.2": "abc\r\neth0", "10.244.1.3": "def\r\neth0", "last_reserved_ip.0": "10.244.1.3", "lock": "", ".hidden": "x\n", "sub/a b": "two\nlines\n"}


class Pair:
    """A folder of this machine, and the same in the lab."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name, text in START.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(text.encode())
        network = Network()
        network.add_host("n")
        self.files = Files({f"{folder}/{name}": text for name, text in START.items()}, whole=(str(folder),))
        self.shell = Shell(network, State(), "n", files=self.files)

    def real(self, line: str) -> tuple[str, int]:
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=False, env={**os.environ, "LC_ALL": "C"}, cwd="/", check=False)
        return (done.stdout + done.stderr).decode(), done.returncode

    def lab(self, line: str) -> tuple[str, int]:
        try:
            return self.shell.run(line), self.shell.status
        except CommandError as e:
            return f"{e}\n", self.shell.status

    def left(self) -> tuple[dict[str, str], dict[str, str]]:
        here = {str(p.relative_to(self.folder)): p.read_bytes().decode() for p in self.folder.rglob("*") if p.is_file()}
        return {p.removeprefix(f"{self.folder}/"): text for p, text in self.files.disk.items()}, here


@pytest.fixture
def folder(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


LINES = """
cat D/10.244.1.2
cat D/10.244.1.2 D/nope D/last_reserved_ip.0
cat D/nope
cat D
cat D/10.244.1.2/x
cat D/10*
cat D/*ip.0 D/lock
cat -n D/sub/*
cat 'D/sub/a b'
cat "D/10*"
cat D/10.244.1.[2-9]
cat D/10.244.1.[!2]
cat D/sub/../lock
cat D/./10.244.1.3
ls D
ls D/
ls -a D
ls -1 D
ls -A D
ls -d D
ls -F D
ls D/10.244.1.2
ls D/nope
ls D/nope D/lock
ls D D/sub
ls D/lock D/sub D/10.244.1.2
ls -r D
ls D/*
ls D/s*
ls -d D/*
ls D/none*
echo D/1*
echo D/none* x
echo "D/1*" 'D/*' D/\\*
head -1 D/sub/*
tail -1 D/sub/*
wc -l D/sub/*
wc D/10.244.1.2
grep 2 D/last_reserved_ip.0
grep -c eth0 D/10.244.1.2
grep eth0 D/nope
sort D/sub/*
cat < D/lock
cat < D/last_reserved_ip.0
cat D/10.244.1.3 | wc -c
rm D/nope
rm -f D/nope
rm D/sub
rm
rm -f
rm -v D/10.244.1.3
rm D/10.244.1.3
rm D/nope D/lock
ls D
echo leaked > D/10.244.1.9
cat D/10.244.1.9
echo more >> D/10.244.1.9
cat D/10.244.1.9
echo 2 > D/two
cat D/two
cat D/nope > D/out
ls D/nope 2> /dev/null
cat D/10.244.1.2 D/nope 2>&1 | wc -l
rm -r D/sub
ls D
rm D/10*
ls D
""".splitlines()


@pytest.mark.real
def test_as_the_real_ones(folder: Pair) -> None:
    for line in filter(None, LINES):
        typed = line.replace("D", str(folder.folder))
        theirs, ours = folder.real(typed), folder.lab(typed)
        if line == "cat D/nope > D/out":  # a shell opens the file before it runs the command
            (folder.folder / "out").unlink()
            assert ours == theirs
            continue
        assert ours == theirs, (line, ours, theirs)
        lab, real = folder.left()
        assert lab == real, line


def line(r: random.Random) -> str:
    path = lambda: r.choice(("D/10.244.1.2", "D/10.244.1.3", "D/nope", "D", "D/1*", "D/*", "D/sub", "D/sub/*", "D/?ock", "D/l*", "D/10.244.1.[0-2]", "'D/sub/a b'", "D/.h*"))  # noqa: E731
    new = lambda: r.choice(("D/10.244.1.7", "D/10.244.1.2", "D/lock", "D/sub/x"))  # noqa: E731
    return r.choice((
        lambda: f"cat {path()}", lambda: f"cat {path()} {path()}", lambda: f"ls {path()}", lambda: f"ls {r.choice(('-a', '-d', '-F', '-r', '-A'))} {path()}",
        lambda: f"ls {path()} {path()}", lambda: f"rm {path()}", lambda: f"rm -f {path()} {path()}", lambda: f"rm {path()} {path()}", lambda: f"rm -v {path()}",
        lambda: f"echo {r.randrange(9)} {r.choice(('>', '>>'))} {new()}", lambda: f"echo {path()}", lambda: f"wc -l {new()}", lambda: f"cat {path()} | tail -2",
        lambda: f"grep {r.randrange(9)} {new()}", lambda: f"ls {path()} | wc -l", lambda: f"cat {new()} && rm {new()}", lambda: f"cat {path()} || echo none",
        lambda: f"rm -r {path()}",
    ))()  # fmt: skip


@pytest.mark.real
def test_random_lines(tmp_path: Path, cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    for case in range(cases(25)):
        r = random.Random(f"files {seed}/{case}")
        here = tmp_path / str(case)
        here.mkdir()
        pair = Pair(here)
        history = []
        for _ in range(8):
            typed = line(r).replace("D", str(here))
            history.append(typed)
            try:
                ours = pair.lab(typed)
            except NotModelled:
                seen["left out"] += 1
                continue
            theirs = pair.real(typed)
            if not (here / "sub").exists() or not any((here / "sub").iterdir()) or not any(here.iterdir()):
                break  # an empty folder stays on a real disk
            # complaints and output are two streams, of which the screen shows one mixture or another
            assert (sorted(ours[0]), ours[1]) == (sorted(theirs[0]), theirs[1]), (history, ours[0], theirs[0])
            lab, real = pair.left()
            assert lab == real, history
            seen[typed.split()[0]] += 1
            seen["failed" if theirs[1] else "well"] += 1
    print(dict(seen))
    assert {"cat", "ls", "rm", "echo", "failed", "well"} <= set(seen)


def shell(made: dict[str, str] | None = None) -> Shell:
    network = Network()
    network.add_host("n")
    return Shell(network, State(), "n", files=Files({f"{HOME}/10.244.1.2": "abc\r\neth0"}, made or {"/run/flannel/subnet.env": "FLANNEL_MTU=1450\n", "/etc/hostname": "n\n"}))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("rm /run/flannel/subnet.env", "the agents write it"),
        ("echo x > /run/flannel/subnet.env", "the agents write it"),
        ("echo x > /etc/motd", "/var/lib/cni/networks"),
        ("ls /etc", "of what is there the lab has only hostname"),
        ("ls -l /run/flannel", "no owners and no dates"),
        ("cat /proc/net/dev", "/proc/sys"),
        ("cat /sys/class/net/lo/speed", "of a link's files the lab has address"),
    ],
)
def test_what_the_lab_does_not_have_is_said(typed: str, said: str) -> None:
    s = shell()
    with pytest.raises(NotModelled, match=said):
        s.run(typed)
    assert not s.files.wrote and s.run("cat /run/flannel/subnet.env") == "FLANNEL_MTU=1450\n"


def test_paths_and_links() -> None:
    s = shell()
    assert s.run("cat /var/run/flannel/subnet.env") == "FLANNEL_MTU=1450\n"
    assert s.run("cat /sys/class/net/lo/mtu /sys/class/net/lo/ifindex") == "65536\n1\n"
    assert s.run("cat /sys/class/net/*/address") == "00:00:00:00:00:00\n"
    assert s.run("cat /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward") == "0\n1\n"
    assert s.changed and s.edits == [("echo 1 > /proc/sys/net/ipv4/ip_forward", "")]


@pytest.mark.real
@pytest.mark.kernel
def test_files_of_links_are_the_kernels(require_tool: Callable[[str], str], require_that: Callable[..., None]) -> None:
    for tool in ("unshare", "ip", "mount"):
        require_tool(tool)
    require_that(os.geteuid() == 0, "root, for a sysfs of its own", "netns")
    setup = "ip link add d0 mtu 1400 address 02:00:00:00:00:d0 type veth peer name d1 address 02:00:00:00:00:d1; ip link set d0 up; ip link add br0 address 02:00:00:00:00:b0 type bridge"
    asked = "; ".join(f"cat /sys/class/net/{d}/{f}" for d in ("lo", "d0", "d1", "br0") for f in ("mtu", "address", "ifindex", "iflink", "operstate", "type", "broadcast"))
    asked += "; cat /sys/class/net/d*/address; cat /sys/class/net/d0/carrier; cat /sys/class/net/d1/carrier; cat /sys/class/net/nope/mtu; ls /sys/class/net"
    script = f"ip link set lo up; mount -t sysfs none /sys; {setup}; {asked}"
    theirs = subprocess.run(["unshare", "-nm", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env={**os.environ, "LC_ALL": "C"}).stdout
    network = Network()
    network.add_host("n")
    s = Shell(network, State(), "n")
    s.run(setup)
    assert s.run(asked).splitlines() == theirs.splitlines()


def test_a_planted_difference_is_seen(folder: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubenet_lab.kernel.shell.files._glob", lambda part: ".*")
    typed = f"cat {folder.folder}/10.244.1.[2-2]"
    assert folder.lab(typed) != folder.real(typed)
