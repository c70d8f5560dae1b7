"""Felix, as far as a routed network without policies needs it: the nat table, the sets of pools, sysctls of interfaces.

Felix's filter, mangle and raw chains (policies, profiles, host endpoints, the check against spoofed sources) are not here.
Where no policy selects a pod they let its traffic pass. Each rule carries the hash that Felix tells it by, made from the chain
and the rules before it.
Sources: projectcalico/calico felix/rules/static.go (StaticNATTableChains), nat.go (NATOutgoingChain), rule_defs.go,
felix/dataplane/linux/masq_mgr.go, endpoint_mgr.go (configureInterface), felix/generictables/rules.go (ruleHashes),
felix/ipsets (names and sizes).
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Sequence

from ...kernel.namespace import Namespace
from ..rules import RuleStep, append, insert, new_chain
from .options import IpPool

__all__ = ["ORIGIN", "configure_interfaces", "ipset_text", "nat_steps", "rule_hashes"]

ORIGIN = "DaemonSet kube-system/calico-node"
MAX_SET_SIZE = 1 << 20
#: as Felix writes it, by family: from a pool with natOutgoing, and not to any pool
_MASQUERADE = {
    fam: f"-m set --match-set cali{fam}0masq-ipam-pools src -m set ! --match-set cali{fam}0all-ipam-pools dst "
    "--jump MASQUERADE --random-fully"
    for fam in (4, 6)
}


def rule_hashes(chain: str, rules: Sequence[str]) -> list[str]:
    """The 16 characters by which Felix knows each rule of a chain again. A rule as Felix writes it: matches, then "--jump TARGET"."""
    digest = hashlib.sha224(chain.encode()).digest()
    out = []
    for rule in rules:
        digest = hashlib.sha224(digest + f"-A {chain} HASH {rule}".encode()).digest()
        out.append(base64.urlsafe_b64encode(digest).decode()[:16])
    return out


def _chain(fam: int, name: str, rules: Sequence[str], *, own: bool = True) -> list[RuleStep]:
    """A chain with its rules; a built-in one (`own` False) gets them at its head."""
    make = append if own else insert
    steps = [new_chain("nat", name, fam, ORIGIN)] if own else []
    for rule, mark in zip(rules, rule_hashes(name, rules), strict=True):
        words = ["-j" if w == "--jump" else w for w in shlex.split(rule)]
        steps.append(make("nat", name, "-m", "comment", "--comment", f"cali:{mark}", *words, family=fam, origin=ORIGIN))
    return steps


def nat_steps(pools: Iterable[IpPool], fam: int) -> list[RuleStep]:
    """The nat table of one family: what a pod of a natOutgoing pool sends to an address of no pool is masqueraded."""
    masquerade = [_MASQUERADE[fam]] if any(p.nat_outgoing for p in pools if p.family == fam) else []
    return [
        *_chain(fam, "cali-fip-dnat", []),
        *_chain(fam, "cali-fip-snat", []),
        *_chain(fam, "cali-nat-outgoing", masquerade),
        *_chain(fam, "cali-PREROUTING", ["--jump cali-fip-dnat"]),
        *_chain(fam, "cali-OUTPUT", ["--jump cali-fip-dnat"]),
        *_chain(fam, "cali-POSTROUTING", ["--jump cali-fip-snat", "--jump cali-nat-outgoing"]),
        *(s for hook in ("PREROUTING", "OUTPUT", "POSTROUTING") for s in _chain(fam, hook, [f"--jump cali-{hook}"], own=False)),
    ]


def ipset_text(pools: Sequence[IpPool], families: Iterable[int]) -> str:
    """The sets of pools as `ipset restore` takes them: every pool, disabled ones too, and those with natOutgoing."""
    lines = []
    for fam in families:
        inet = "inet" if fam == 4 else "inet6"
        for name, chosen in (("all", pools), ("masq", [p for p in pools if p.nat_outgoing])):
            lines.append(f"create cali{fam}0{name}-ipam-pools hash:net family {inet} maxelem {MAX_SET_SIZE}")
            lines += [f"add cali{fam}0{name}-ipam-pools {p.cidr}" for p in chosen if p.family == fam]
    return "\n".join(lines) + "\n"


def configure_interfaces(node: Namespace, interface_prefix: str) -> None:
    """rp_filter of the pods' interfaces is what the node gives new interfaces (net.ipv4.conf.default.rp_filter)."""
    usual = node.sysctl("net.ipv4.conf.default.rp_filter")
    for link in node.links.values():
        if link.name.startswith(interface_prefix) and link.kind == "veth":
            node.set_sysctl(f"net.ipv4.conf.{link.name}.rp_filter", usual)
