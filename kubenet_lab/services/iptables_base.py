"""What kube-proxy's iptables mode always writes: the jumps from the base chains, the chains for masquerading, forwarding and loopback.

Source: kube-proxy 1.34, pkg/proxy/iptables/proxier.go (iptablesJumpChains, syncProxyRules); pkg/kubelet/kubelet_network_linux.go.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .kube_proxy import KubeProxy

__all__ = ["CANARIES", "GUARD", "JUMPS", "Jump", "forward_rules", "jump_text", "masquerade_rules"]

GUARD = "KUBE-FIREWALL"  # the kubelet's chain, too

NEW = "-m conntrack --ctstate NEW"


@dataclass(frozen=True, slots=True)
class Jump:
    """A rule at the head of a base chain. kube-proxy makes sure it is there with `iptables -C` and `iptables -I`."""

    table: str
    chain: str
    target: str
    comment: str = ""
    match: str = ""

    @property
    def rule(self) -> str:
        """The rule without its chain."""
        comment = f'-m comment --comment "{self.comment}"' if self.comment else ""
        return " ".join(part for part in (self.match, comment, f"-j {self.target}") if part)


_EXTERNAL = "kubernetes externally-visible service portals"
_PORTALS = "kubernetes service portals"
_FIREWALL = "kubernetes load balancer firewall"

#: in the order in which they are inserted: each goes to the head, so the last one inserted is met first
JUMPS: tuple[Jump, ...] = (
    Jump("filter", "INPUT", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, NEW),
    Jump("filter", "FORWARD", "KUBE-EXTERNAL-SERVICES", _EXTERNAL, NEW),
    Jump("filter", "INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports"),
    Jump("filter", "FORWARD", "KUBE-SERVICES", _PORTALS, NEW),
    Jump("filter", "OUTPUT", "KUBE-SERVICES", _PORTALS, NEW),
    Jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
    Jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", _FIREWALL, NEW),
    Jump("filter", "OUTPUT", "KUBE-PROXY-FIREWALL", _FIREWALL, NEW),
    Jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", _FIREWALL, NEW),
    Jump("nat", "OUTPUT", "KUBE-SERVICES", _PORTALS),
    Jump("nat", "PREROUTING", "KUBE-SERVICES", _PORTALS),
    Jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    # the kubelet makes the same two; whoever comes second finds them there
    Jump("filter", "INPUT", GUARD),
    Jump("filter", "OUTPUT", GUARD),
)

#: empty chains by which kube-proxy notices that somebody flushed its rules
CANARIES = "".join(f"*{table}\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n" for table in ("mangle", "nat", "filter"))

FILTER_CHAINS = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL")
NAT_CHAINS = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ")

LAST_RULE = '"kubernetes service nodeports; NOTE: this must be the last rule in this chain"'
INVALID_COUNTER = "ct_state_invalid_dropped_pkts"
LOCALHOST_COUNTER = "localhost_nps_accepted_pkts"


def jump_text(standing: Collection[str] = ()) -> str:
    """The jumps for `iptables-restore --noflush`: target chains, then one `-I` per jump in kube-proxy's order.

    `standing`: chains that somebody made before, with the same jumps: kube-proxy finds them there and leaves them where they are.
    """
    parts = []
    for table in ("filter", "nat"):
        jumps = [j for j in JUMPS if j.table == table and j.target not in standing]
        chains = dict.fromkeys(j.target for j in jumps)
        lines = [f"*{table}", *(f":{c} - [0:0]" for c in chains), *(f"-I {j.chain} {j.rule}" for j in jumps), "COMMIT"]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def masquerade_rules(options: KubeProxy) -> list[str]:
    """KUBE-POSTROUTING and KUBE-MARK-MASQ: what is marked gets the outgoing interface's address, and loses the mark."""
    mark = options.mark
    fully = " --random-fully" if options.random_fully else ""
    return [
        f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
        f"-A KUBE-POSTROUTING -j MARK --xor-mark {mark}",
        f'-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE{fully}',
        f"-A KUBE-MARK-MASQ -j MARK --or-mark {mark}",
    ]


def loopback_rule() -> str:
    """With route_localnet=1 anyone on the link could reach the node's 127.0.0.1: only what was DNATed or answers may."""
    return (
        f'-A {GUARD} -m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8'
        " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
    )


def forward_rules(options: KubeProxy) -> list[str]:
    """KUBE-FORWARD: Service traffic passes even where the FORWARD policy is DROP."""
    mark = options.mark
    counter = f" -m nfacct --nfacct-name {INVALID_COUNTER}" if options.nfacct else ""
    invalid = [] if options.tcp_be_liberal else [f"-A KUBE-FORWARD -m conntrack --ctstate INVALID{counter} -j DROP"]
    return [
        *invalid,
        f'-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark {mark}/{mark} -j ACCEPT',
        '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ]
