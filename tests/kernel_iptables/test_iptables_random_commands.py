"""Random command lines of iptables, to the tool in a real namespace and to the lab: what is printed, the status, the rules at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from iptables_lines import CHAINS, OWN, Line, random_line
from iptables_mirror import Mirror, Seen, tidy

pytestmark = [pytest.mark.real, pytest.mark.kernel]

LINES = 40
#: a node where the agents have run: all tables are there, and two chains in each of two
BEGIN = "".join(
    f"*{table}\n"
    + "".join(f":{c} ACCEPT [0:0]\n" for c in chains)
    + "".join(f":{c} - [0:0]\n" for c in OWN[:2] if table in ("filter", "nat"))
    + "COMMIT\n"
    for table, chains in CHAINS.items()
)
ENDINGS = [
    (["iptables-save", "-c"], ""),
    (["ip6tables-save"], ""),
    (["iptables", "-nvL"], ""),
    (["iptables", "-t", "nat", "-L", "--line-numbers"], ""),
]


ASIDE = re.compile(
    r"^(?:Warning: weird character in interface|xt_iprange: range .* is reversed|--set option deprecated|warn: --nflog-range).*\n", re.M
)


def shown(s: Seen) -> tuple[int, str, str]:
    """What is said aside, of what is let pass, is not kept."""
    return s.status, tidy(s.out), tidy(ASIDE.sub("", s.err)) if s.status else ""


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_random_command_lines(backend: str, real: Callable[[str], Any], cases: Callable[[int], int], seed: int) -> None:
    real("ipset")
    tool = real(backend)
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    for case in range(cases(10)):
        r = Line(f"iptables {backend} {seed}/{case}")
        mirror = Mirror(backend)
        lines: list[tuple[list[str], str]] = [
            (["ipset", "create", "s0", "hash:ip"], ""),
            (["ipset", "create", "s6", "hash:ip", "family", "inet6"], ""),
            *((["ip" + k + "tables-restore"], BEGIN) for k in ("", "6")),
        ]
        lines += [(random_line(r), "") for _ in range(LINES)]
        ours = [mirror.one(*line) for line in [*lines, *ENDINGS]]
        done = [(line, s) for line, s in zip([*lines, *ENDINGS], ours, strict=True) if s.status != -1]  # not modelled: not done
        theirs = tool.run([line for line, _ in done])
        for ((words, _), mine), other in zip(done, theirs, strict=True):
            seen[words[0] if words[0].endswith("save") else "taken" if other.status == 0 else "refused"] += 1
            a, b = shown(mine), shown(Seen(other.status, other.out, other.err))
            if a != b and not (a[0] == b[0] and "getaddrinfo" in b[2]):  # what is no address is looked up as a name there
                wrong.append(f"{backend} {seed}/{case}$ {words}\n  lab:  {a}\n  tool: {b}")
                break
        seen["left out"] += len(ours) - len(done)
    print(backend, dict(seen))
    assert not wrong, f"{len(wrong)} differ\n" + "\n".join(wrong[:10])
    assert seen["taken"] and seen["refused"]
