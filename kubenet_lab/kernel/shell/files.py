"""`cat`, `ls`, `rm` and redirections, over the files that a machine has in the lab.

A machine's own files are what its agents keep on disk; /proc/sys is its sysctls, /sys/class/net its links. Messages are those of GNU
coreutils 9.1, measured.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from ...errors import NotModelled
from . import sysctl
from .devices import carrier, operstate, peer_of
from .terminal import Terminal, ToolError
from .traffic import options

__all__ = ["cat", "expand", "input_of", "ls", "rm", "write"]

_NET = "/sys/class/net"


def _normal(path: str) -> str:
    """The path without dots; relative ones are below /root, and /var/run is /run."""
    path = posixpath.normpath(posixpath.join("/root", path))
    path = "/" + path.lstrip("/")
    return path.replace("/var/run", "/run", 1) if path == "/var/run" or path.startswith("/var/run/") else path


def _link_file(t: Terminal, path: str) -> str | None:
    """/sys/class/net/DEV/*: what people read there to find the other end of a veth pair, and the MTU."""
    name, _, what = path.removeprefix(f"{_NET}/").partition("/")
    k = t.ns.links.get(name)
    if k is None:
        return None
    peer = peer_of(t.network, k)
    lower = t.ns.links.get(k.vxlan.dev) if k.vxlan is not None else peer
    values = {
        "mtu": k.mtu, "address": k.mac, "ifindex": k.index, "iflink": lower.index if lower is not None else k.index,
        "operstate": operstate(t.network, t.ns, k).lower(), "carrier": int(carrier(t.network, t.ns, k)), "tx_queue_len": 1000,
        "type": 772 if k.kind == "loopback" else 1, "broadcast": "00:00:00:00:00:00" if k.kind == "loopback" else "ff:ff:ff:ff:ff:ff",
    }  # fmt: skip
    if what == "carrier" and not k.up:
        raise ToolError(f"cat: {path}: Invalid argument", 1)
    if what not in values:
        raise NotModelled(f"{path}; of a link's files the lab has {', '.join(sorted(values))}")
    return f"{values[what]}\n"


#: how tools complain of a file, where it is not "tool: name: error"; {q} is the name in quotes, {f} in quotes if it needs them
_WORDS = {
    "head": ("cannot open {q} for reading: {e}", 1), "tail": ("cannot open {q} for reading: {e}", 1), "sort": ("cannot read: {f}: {e}", 2),
    "grep": ("{n}: {e}", 2),
}  # fmt: skip


def _complaint(tool: str, name: str, error: str) -> ToolError:
    words, status = _WORDS.get(tool, ("{f}: {e}", 1))
    if error == "Is a directory":
        words = {"head": "error reading {q}: {e}", "tail": "error reading {q}: {e}", "sort": "read failed: {f}: {e}"}.get(tool, words)
    return ToolError(f"{tool}: " + words.format(q=_quoted(name), f=_quoted_if(name), n=name, e=error), status)


def _quoted(name: str) -> str:
    """As coreutils quote a name for a shell."""
    return f"'{name}'" if "'" not in name else f'"{name}"'


def _quoted_if(name: str) -> str:
    return name if re.fullmatch(r"[\w@%+=:,./\]{}-]+", name) and name[0] not in "#~" else _quoted(name)


def _read(t: Terminal, tool: str, name: str) -> str:
    """The text of a file. Raises ToolError as the tool does, NotModelled where the real one has more."""
    path = _normal(name)
    if path.startswith("/proc/sys/"):
        return sysctl.read(t, path, tool)
    if path.startswith(f"{_NET}/") and path.count("/") > 4:
        found = _link_file(t, path)
    elif path.startswith(("/proc/", "/sys/", "/dev/")) and path != "/dev/null":
        raise NotModelled(f"{path}; the lab has /proc/sys and {_NET}/DEV/")
    else:
        found = "" if path == "/dev/null" else t.files.text(path)
    if found is not None:
        return found
    if _is_folder(t, path):
        raise _complaint(tool, name, "Is a directory")
    raise _complaint(tool, name, "Not a directory" if _below_a_file(t, path) else "No such file or directory")


def _below_a_file(t: Terminal, path: str) -> bool:
    return t.files.text(posixpath.dirname(path)) is not None


def _is_folder(t: Terminal, path: str) -> bool:
    if path == _NET or (path.startswith(f"{_NET}/") and path.count("/") == 4 and path.rpartition("/")[2] in t.ns.links):
        return True
    return t.files.is_folder(path)


def input_of(t: Terminal, tool: str, names: Iterable[str]) -> str:
    """What a filter reads: its files one after the other, or what came through the pipe."""
    return "".join(t.stdin if n == "-" else _read(t, tool, n) for n in [*names] or ["-"])


def expand(t: Terminal, pattern: str) -> list[str]:
    """The paths that a pattern of the shell matches, in order; none if it is relative: the folder one starts in is empty."""
    if not pattern.startswith("/"):
        return []
    parts = [p for p in pattern.split("/") if p]
    found = [""]
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if not re.search(r"(?<!\\)[*?\[]", part):
            plain = re.sub(r"\\(.)", r"\1", part)
            found = [f"{f}/{plain}" for f in found]
            continue
        rule = re.compile(_glob(part))
        found = [f"{f}/{n}" for f in found for n in _names(t, f or "/") if rule.fullmatch(n) and (part[0] == "." or n[0] != ".")
                 and (last or _is_folder(t, f"{f}/{n}"))]  # fmt: skip
    return [f for f in found if t.files.text(f) is not None or _is_folder(t, f) or (f.startswith(f"{_NET}/") and _exists(t, f))]


def _glob(part: str) -> str:
    out, i = "", 0
    while i < len(part):
        c = part[i]
        end = part.find("]", i + 2) if c == "[" else -1
        if c == "\\" and i + 1 < len(part):
            out += re.escape(part[i + 1])
            i += 1
        elif c in "*?":
            out += {"*": ".*", "?": "."}[c]
        elif end > 0:
            inner = part[i + 1 : end]
            negated = inner[0] in "!^"
            body = "".join(x if x == "-" else re.escape(x) for x in inner[negated:])
            ranges = all(a <= b for a, b in re.findall(r"(.)-(.)", inner[negated:]))
            out += f"[{'^' if negated else ''}{body}]" if body and ranges else "(?!)"
            i = end
        else:
            out += re.escape(c)
        i += 1
    return out


def _names(t: Terminal, folder: str) -> list[str]:
    if folder == _NET:
        return sorted(t.ns.links)
    if folder.startswith(f"{_NET}/"):
        return ["address", "broadcast", "carrier", "ifindex", "iflink", "mtu", "operstate", "tx_queue_len", "type"]
    return t.files.names(folder)


# ----------------------------------------------------------------------------------------------------------- programs
def cat(t: Terminal, argv: list[str]) -> str:
    """Files, or what came through the pipe."""
    found, rest = options("cat", argv[1:], "n", [], "Try 'cat --help' for more information.", 1)
    out = ""
    for name in rest or ["-"]:
        try:
            out += t.stdin if name == "-" else _read(t, "cat", name)
        except ToolError as e:
            if len(rest) == 1:
                raise
            t.stderr += f"{e}\n"
            t.status = 1
    if found:
        return "".join(f"{i:>6}\t{line}" for i, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", out), 1))
    return out


def ls(t: Terminal, argv: list[str]) -> str:
    """Names, one a line, as into a pipe."""
    found, rest = options("ls", argv[1:], "1aAdlhFRtrSin", [], "Try 'ls --help' for more information.", 2)
    flags = {n for n, _ in found}
    if left_out := flags - {"-1", "-a", "-A", "-d", "-F", "-r"}:
        raise NotModelled(f"ls {sorted(left_out)[0]}: the lab's files have no owners and no dates; ls shows their names")
    plain, folders = [], []
    for name in rest or ["."]:
        path = _normal(name)
        if "-d" in flags and _is_folder(t, path):
            plain.append(name)
        elif _is_folder(t, path):
            folders.append((name, path))
        elif t.files.text(path) is not None or (path.startswith(("/proc/sys/", f"{_NET}/")) and _exists(t, path)):
            plain.append(name)
        elif path == "/root":
            pass
        elif path.startswith(("/proc", "/sys", "/dev")):
            raise NotModelled(f"ls {path}; the lab has {_NET} and the files below /proc/sys by name")
        else:
            error = "Not a directory" if _below_a_file(t, path) else "No such file or directory"
            t.stderr += f"ls: cannot access {_quoted(name)}: {error}\n"
            t.status = 2
    if len(rest) == 1 and t.status:
        raise ToolError(t.stderr.rstrip("\n"), 2)
    out = "".join(f"{name}\n" for name in sorted(plain, reverse="-r" in flags))
    many = len(rest) > 1
    for i, (name, path) in enumerate(sorted(folders, reverse="-r" in flags)):
        names = _names(t, path)
        if not (path == _NET or any(path == w or path.startswith(f"{w}/") for w in (*t.files.whole, _NET))):
            raise NotModelled(f"ls {path}: of what is there the lab has only {', '.join(names) or 'nothing'}")
        if not flags & {"-a", "-A"}:
            names = [n for n in names if not n.startswith(".")]
        if "-F" in flags:
            names = [n + ("@" if path == _NET else "/" if _is_folder(t, f"{path}/{n}") else "") for n in names]
        if "-a" in flags:
            names = [*((".", "..") if "-F" not in flags else ("./", "../")), *names]
        if "-r" in flags:
            names.reverse()
        head = f"{name}:\n" if many else ""
        out += ("\n" if out and many and (i or plain) else "") + head + "".join(f"{n}\n" for n in names)
    return out


def _exists(t: Terminal, path: str) -> bool:
    try:
        _read(t, "ls", path)
    except ToolError:
        return False
    return True


def rm(t: Terminal, argv: list[str]) -> str:
    """Remove files that programs keep on the disk: a lease that leaked, for one."""
    found, rest = options("rm", argv[1:], "frRiv", [], "Try 'rm --help' for more information.", 1)
    flags = {n for n, _ in found}
    if "-i" in flags:
        raise NotModelled("rm -i: nobody is asked here")
    if not rest:
        if "-f" in flags:
            return ""
        raise ToolError("rm: missing operand\nTry 'rm --help' for more information.", 1)
    doomed: list[str] = []
    complaints = ""
    for name in rest:
        path = _normal(name)
        if path not in doomed and (t.files.text(path) is not None or path.startswith(("/proc/", "/sys/"))):
            doomed.append(path)
        elif _is_folder(t, path):
            if not flags & {"-r", "-R"}:
                complaints += f"rm: cannot remove {_quoted(name)}: Is a directory\n"
            else:
                doomed += sorted(p for p in t.files.paths() if p.startswith(path.rstrip("/") + "/") and p not in doomed)
        elif "-f" not in flags:
            error = "Not a directory" if _below_a_file(t, path) else "No such file or directory"
            complaints += f"rm: cannot remove {_quoted(name)}: {error}\n"
    for path in doomed:
        _may_change(t, path)
    if complaints and not doomed:
        raise ToolError(complaints.rstrip("\n"), 1)
    out = ""
    for path in doomed:
        del t.files.disk[path]
        t.files.wrote = True
        out += f"removed {_quoted(path)}\n" if "-v" in flags else ""
    t.stderr += complaints
    t.status = 1 if complaints else 0
    return out


def write(t: Terminal, name: str, text: str, append: bool = False) -> None:
    """`> file` and `>> file`."""
    path = _normal(name)
    if path == "/dev/null":
        return
    if path.startswith("/proc/sys/"):
        sysctl.write(t, path, text)
        return
    _may_change(t, path)
    if _is_folder(t, path):
        raise ToolError(f"sh: {name}: Is a directory", 1)
    if not _is_folder(t, posixpath.dirname(path)):
        raise ToolError(f"sh: {name}: No such file or directory", 1)
    t.files.disk[path] = (t.files.disk.get(path, "") if append else "") + text
    t.files.wrote = True


def _may_change(t: Terminal, path: str) -> None:
    if path in t.files.made:
        raise NotModelled(f"changing {path}: the agents write it from the cluster's options")
    here = posixpath.dirname(path)
    if not path.startswith("/var/lib/cni/networks/") and here not in {posixpath.dirname(p) for p in t.files.disk}:
        raise NotModelled(f"changing {path}; the lab keeps what IPAM plugins store below /var/lib/cni/networks")
