"""ipMasq: what a pod sends beyond its own subnet leaves with the node's address.

Source: containernetworking/plugins pkg/ip/ipmasq_iptables_linux.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import NotModelled
from ..kernel.address import prefix
from .contract import Call
from .result import CniError
from .rules import RuleStep, append, chain_name, comment_of, new_chain

__all__ = ["check_backend", "masquerade", "masquerade_steps", "masquerade_teardown", "unmasquerade"]


def masquerade_steps(address: str, chain: str, comment: str, origin: str = "") -> list[RuleStep]:
    """For one address (CIDR): its own subnet goes out as it is, multicast too, the rest is masqueraded."""
    p = prefix(address)
    note = ("-m", "comment", "--comment", comment)
    multicast = "224.0.0.0/4" if p.family == 4 else "ff00::/8"
    ip = address.partition("/")[0]
    return [
        new_chain("nat", chain, p.family, origin),
        append("nat", chain, "-d", str(p), *note, "-j", "ACCEPT", family=p.family, origin=origin),
        append("nat", chain, "!", "-d", multicast, *note, "-j", "MASQUERADE", family=p.family, origin=origin),
        append("nat", "POSTROUTING", "-s", ip, *note, "-j", chain, family=p.family, origin=origin),
    ]


def masquerade_teardown(address: str, chain: str, comment: str) -> list[RuleStep]:
    """The way back."""
    fam = prefix(address).family
    jump = ("-s", address.partition("/")[0], "-m", "comment", "--comment", comment, "-j", chain)
    return [RuleStep("nat", "-D", "POSTROUTING", jump, fam), RuleStep("nat", "-F", chain, (), fam), RuleStep("nat", "-X", chain, (), fam)]


def masquerade(call: Call, addresses: list[str], origin: str = "") -> None:
    """Masquerade what a container sends from these addresses."""
    chain, comment = chain_name(call.name, call.container_id), comment_of(call.name, call.container_id)
    call.host.program(s for a in addresses for s in masquerade_steps(a, chain, comment, origin))


def unmasquerade(call: Call, addresses: list[str]) -> None:
    """No longer. Raises CniError if the container never had the chain: then iptables cannot even read the rule that it should delete."""
    chain, comment = chain_name(call.name, call.container_id), comment_of(call.name, call.container_id)
    for a in addresses:
        fam, ip = prefix(a).family, a.partition("/")[0]
        if chain not in call.host.chains("nat", fam):
            tool = "iptables" if fam == 4 else "ip6tables"
            command = f"/usr/sbin/{tool} -t nat -D POSTROUTING -s {ip} -j {chain} -m comment --comment {comment} --wait"
            said = f"{tool} v1.8.9 (nf_tables): Chain '{chain}' does not exist\nTry `{tool} -h' or '{tool} --help' for more information.\n"
            raise CniError(999, f"running [{command}]: exit status 2: {said}")
        call.host.program(masquerade_teardown(a, chain, comment))


def check_backend(config: Mapping[str, Any]) -> None:
    """`ipMasqBackend` (releases since 1.6). Raises CniError for an unknown one, NotModelled for nftables."""
    backend = config.get("ipMasqBackend")
    if not config.get("ipMasq") or backend in (None, "", "iptables"):
        return
    if backend == "nftables":
        raise NotModelled("ipMasqBackend nftables: its rules are in nft's own tables, which are not modelled yet")
    raise CniError(999, f'unrecognized ipmasq backend "{backend}"')
