"""`sysctl`. Source: procps-ng 4.0 src/sysctl.c; the messages are measured."""

from __future__ import annotations

from ..namespace import Namespace
from ..sysctls import SYSCTL_DEFAULTS
from .terminal import Terminal, ToolError

__all__ = ["known", "known_to", "read", "run", "value_in", "write"]

#: net.ipv4.conf.DEV.* and net.ipv6.conf.DEV.* that the walk reads or that people look at
_PER_DEVICE = {
    "ipv4": ("rp_filter", "proxy_arp", "route_localnet", "accept_local", "forwarding", "arp_ignore", "arp_announce", "arp_filter", "proxy_arp_pvlan", "send_redirects", "arp_notify",
             "accept_redirects", "log_martians", "accept_source_route"),
    "ipv6": ("forwarding", "disable_ipv6", "proxy_ndp", "accept_ra", "accept_dad", "autoconf", "enhanced_dad"),
}  # fmt: skip
#: net.ipv4.neigh.DEV.* and net.ipv6.neigh.DEV.*
_PER_NEIGHBOUR_DEVICE = ("proxy_delay",)
_BOOLEAN = ("ip_forward", "forwarding")


def known(t: Terminal, key: str) -> bool:
    return known_to(t.ns, key)


def known_to(ns: Namespace, key: str) -> bool:
    """Is there such a sysctl in a namespace, as far as the lab knows?"""
    if key in SYSCTL_DEFAULTS or key in ns.sysctls:
        return True
    parts = key.split(".")
    if len(parts) >= 5 and parts[0] == "net" and parts[1] in _PER_DEVICE and parts[2] == "neigh":
        return parts[-1] in _PER_NEIGHBOUR_DEVICE and ".".join(parts[3:-1]) in ns.links
    return (
        len(parts) >= 5 and parts[0] == "net" and parts[1] in _PER_DEVICE and parts[2] == "conf"
        and parts[-1] in _PER_DEVICE[parts[1]] and ".".join(parts[3:-1]) in ("all", "default", *ns.links)
    )  # fmt: skip


def value_of(t: Terminal, key: str) -> int:
    return value_in(t.ns, key)


def value_in(ns: Namespace, key: str) -> int:
    """The value that its file shows."""
    if key in ns.sysctls:
        return ns.sysctls[key]
    parts = key.split(".")
    if len(parts) >= 5 and parts[2] == "neigh":
        return ns.sysctl(f"net.{parts[1]}.neigh.default.{parts[-1]}")
    if len(parts) >= 5 and parts[2] == "conf" and parts[3] not in ("all", "default"):
        if parts[-1] == "forwarding":
            return int(ns.forwards(4 if parts[1] == "ipv4" else 6))
        return ns.sysctl(f"net.{parts[1]}.conf.default.{parts[-1]}")
    if parts[-1] == "forwarding" and parts[1] == "ipv4":
        return int(ns.forwards(4))
    return ns.sysctl(key)


def _path(key: str) -> str:
    return "/proc/sys/" + key.replace("/", "\0").replace(".", "/").replace("\0", ".")


def _key(text: str) -> str:
    """`net/ipv4/conf/eth0.1/x` and `net.ipv4.conf.eth0/1.x` are the same: the first separator of the two decides."""
    dot, slash = text.find("."), text.find("/")
    return text if slash < 0 or (0 <= dot < slash) else text.replace("/", ".")


def _of_path(path: str) -> str:
    return path.removeprefix("/proc/sys/").replace(".", "\0").replace("/", ".").replace("\0", "/")


def read(t: Terminal, path: str, tool: str = "cat") -> str:
    """What a file under /proc/sys holds. `tool` complains."""
    key = _of_path(path)
    if not known(t, key):
        raise ToolError(f"{tool}: {path}: No such file or directory", 1)
    return f"{value_of(t, key)}\n"


def write(t: Terminal, path: str, text: str) -> None:
    """What `echo 1 > /proc/sys/...` does."""
    key = _of_path(path)
    if not known(t, key):
        raise ToolError(f"sh: {path}: No such file or directory", 1)
    try:
        value = int(text.strip(), 0)
    except ValueError:
        raise ToolError("sh: echo: write error: Invalid argument", 1) from None
    _set(t, key, value)


def run(t: Terminal, argv: list[str]) -> str:
    names = values = quiet = ignore = everything = False
    write = False
    items: list[str] = []
    for word in argv[1:]:
        if word.startswith("-") and len(word) > 1:
            for c in [word] if word.startswith("--") else word[1:]:
                match c:
                    case "w" | "--write":
                        write = True
                    case "n" | "--values":
                        values = True
                    case "N" | "--names":
                        names = True
                    case "q" | "--quiet":
                        quiet = True
                    case "e" | "--ignore":
                        ignore = True
                    case "a" | "A" | "X" | "--all":
                        everything = True
                    case _:
                        raise ToolError(f"sysctl: option {word} is not one that kubenet-lab models: -a -e -n -N -q -w", 1)
        else:
            items.append(word)
    if everything:
        keys = sorted(
            {
                *SYSCTL_DEFAULTS,
                *t.ns.sysctls,
                *(f"net.ipv4.conf.{k}.{n}" for k in ("all", "default", *t.ns.links) for n in _PER_DEVICE["ipv4"]),
            }
        )
        return "".join(_shown(t, k, names, values) for k in keys)
    if not items:
        raise ToolError("Usage:\n sysctl [options] [variable[=value] ...]\n(kubenet-lab models the options -a -e -n -N -q -w)", 1)
    out, errors = "", []
    for item in items:
        name, equals, value = item.partition("=")
        key = _key(name.strip())
        if write and not equals:
            errors.append("sysctl: command line(0): invalid syntax, continuing...")
        elif not known(t, key):
            if not ignore:
                errors.append(f"sysctl: cannot stat {_path(key)}: No such file or directory")
        elif not equals:
            out += _shown(t, key, names, values)
        else:
            try:
                number = int(value.strip(), 0)
            except ValueError:
                errors.append(f'sysctl: setting key "{key}": Invalid argument')
                continue
            _set(t, key, number)
            if not quiet:
                out += _shown(t, key, names, values)
    if errors and not out and not t.changed:
        raise ToolError("\n".join(errors), 1)
    if errors:
        t.status = 1
    t.stderr += "".join(f"{e}\n" for e in errors)
    return out


def _set(t: Terminal, key: str, value: int) -> None:
    t.ns.set_sysctl(key, value)
    t.changed = True


def _shown(t: Terminal, key: str, names: bool, values: bool) -> str:
    if names:
        return f"{key}\n"
    return f"{value_of(t, key)}\n" if values else f"{key} = {value_of(t, key)}\n"
