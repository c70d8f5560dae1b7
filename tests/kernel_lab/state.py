"""What the tools print of a namespace, on the real kernel and in the lab, made comparable: `differences`.

Left out, since the lab has no such thing: interface numbers and the numbers of namespaces, queues and other figures of drivers (`-d`),
ages and timers, addresses' lifetimes, `linkdown` and NO-CARRIER while a bridge learns of its ports, neighbours and FDB entries that traffic
made, and `nodad`, with which `ip_commands` adds an address so that it can be used at once. A NIC is the end of a veth pair in the replay: its qdisc, its
kind and its promiscuity (a veth has no filter for addresses).
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["COMMANDS", "comparable", "differences"]

COMMANDS = (
    "ip -d link", "ip addr", "ip -4 route show table all", "ip -6 route show table all", "ip -4 rule", "ip -6 rule", "ip -4 neigh", "ip -6 neigh", "bridge fdb", "bridge -d link",
    "bridge vlan",
)  # fmt: skip

_GONE = [
    re.compile(p)
    for p in (
        r"^\d+: ", r"@[\w.-]+", r" link-netns(id)? \S+", r"\bqueue\S* \S+", r" ?\b(numtxqueues|numrxqueues|gso_\w+|gro_\w+|tso_\w+|qlen|txqueuelen) \S+", r" addrgenmode \S+",
        r"\b\w+_timer +\S+", r" nodad", r"NO-CARRIER,", r" linkdown", r" tentative", r" dadfailed", r"valid_lft.*", r" (used|probes) \S+",
    )
]  # fmt: skip


def comparable(command: str, text: str) -> list[str]:
    """Lines without what the lab does not have, sorted where the order is not the tool's own; details stay with their link."""
    lines, head = [], ""
    for line in text.splitlines():
        if command.startswith(("ip -d link", "ip addr")) and not line.startswith(" "):
            head = line.split(": ")[1].split("@")[0] if ": " in line else line
        for gone in _GONE:
            line = gone.sub("", line)
        words = " ".join(line.split())
        if command == "bridge fdb" and not words.endswith("permanent") and "static" not in words and " dst " not in words:
            continue  # learned
        if command.endswith("neigh") and not words.endswith(("PERMANENT", "NOARP", "proxy")):
            continue
        if head == "eth0":
            if words == "veth":
                continue
            words = re.sub(r"promiscuity \d", "promiscuity", words.replace("qdisc fq_codel", "qdisc noqueue"))
        if words:
            lines.append(f"{head}: {words}" if head else words)
    return sorted(lines)


def differences(command: str, said: str, found: str) -> list[str]:
    """- what only the lab prints, + what only the kernel does."""
    ours, theirs = comparable(command, said), comparable(command, found)
    return [f"- {k}" for k in ours if k not in theirs] + [f"+ {k}" for k in theirs if k not in ours]


def both(run: Callable[[str], str], real: Callable[[str], str], commands: tuple[str, ...] = COMMANDS) -> dict[str, list[str]]:
    """By command, what differs."""
    found = {command: differences(command, run(command), real(command)) for command in commands if command != "bridge vlan" or _filters(real)}
    return {command: lines for command, lines in found.items() if lines}


def _filters(real: Callable[[str], str]) -> bool:
    """Whether this kernel's bridges know VLANs at all (CONFIG_BRIDGE_VLAN_FILTERING); a bridge without ports prints nothing either."""
    return len(real("bridge vlan").splitlines()) > 1
