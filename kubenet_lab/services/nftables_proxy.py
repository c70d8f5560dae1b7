"""kube-proxy in nftables mode: the transaction that it hands to `nft -f -`, for one node and one family.

A pure function of the Services, their EndpointSlices, the node and the options; always a full sync. Order: by
namespace and name of the Service, then its own order of ports (kube-proxy's own order of Services is that of a Go map).
Source: kube-proxy 1.34, pkg/proxy/nftables/proxier.go (syncProxyRules); KEP-3866.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotModelled
from ..objects.snapshot import Snapshot
from .endpoint_view import ServicePort, service_ports
from .kube_proxy import KubeProxy, LocalDetector, local_detector, node_port_addresses
from .nftables_base import CHAIN_ORIGINS, Transaction, set_up
from .nftables_port import PortElements
from .node import NodeView

__all__ = ["NftablesText", "nft_rules"]


@dataclass(frozen=True, slots=True)
class NftablesText:
    """What kube-proxy programs on one node in one family. `shared` is the part that most nodes have in common, `own` the rest:
    loaded one after the other they come to the same as `text`. `origins` says what each chain stands for."""

    family: int
    text: str
    shared: str
    own: str
    origins: Mapping[str, str]

    def origin(self, where: str, element: Any = None) -> str:
        """What a rule of a chain, or an element of a map, stands for."""
        if element is None:
            return self.origins.get(where, "")
        data = element.data
        if data is not None and data.chain and data.chain != "reject-chain":
            return self.origins.get(data.chain, "")
        return f"Service {_origin(element.comment)}" if element.comment else f"kube-proxy: {where}"

    def chain(self, name: str) -> tuple[str, ...]:
        """The rules of one chain, in order."""
        return self._of("rule", name)

    def elements(self, name: str) -> tuple[str, ...]:
        """The elements of one set or map."""
        return tuple(line.removeprefix("{ ").removesuffix(" }") for line in self._of("element", name))

    def _of(self, thing: str, name: str) -> tuple[str, ...]:
        head = f"add {thing} {'ip' if self.family == 4 else 'ip6'} kube-proxy {name} "
        return tuple(line.removeprefix(head) for line in self.text.splitlines() if line.startswith(head))

    def __str__(self) -> str:
        return self.text


def _origin(title: str) -> str:
    key, _, port = title.partition(":")
    return f"{key} port {port}" if port else key


def nft_rules(
    snapshot: Snapshot | Sequence[ServicePort],
    node: NodeView,
    options: KubeProxy = KubeProxy(mode="nftables"),  # noqa: B008  (frozen)
    family: int = 4,
    service_cidrs: Sequence[str] = (),
) -> NftablesText:
    """The rules of one node. Give `service_ports(snapshot, family)` instead of the snapshot to share that work between nodes.

    `service_cidrs`: the ServiceCIDRs of the cluster. Raises NotModelled for another mode than nftables.
    """
    if options.mode != "nftables":
        raise NotModelled(f"kube-proxy mode {options.mode}")
    ports = service_ports(snapshot, family) if isinstance(snapshot, Snapshot) else tuple(snapshot)
    on = node_port_addresses(options, node, family)
    if on is not None:
        on = tuple(a for a in on if not a.startswith("127.") and a != "::1")  # node ports on localhost are not supported
    cidrs = [c for c in service_cidrs if (6 if ":" in c else 4) == family]
    detector = local_detector(options, node, family)
    if_local, if_not_local = _in_nft(detector, family)

    tx = Transaction(family)
    set_up(tx, options, cidrs, on)
    for port in ports:
        PortElements(tx, port, node, options, if_local, if_not_local).write()
    own_head = f"add element {tx.ip} kube-proxy nodeport-ips "
    own = [line for line in tx.lines if line.startswith(own_head)]
    shared = [line for line in tx.lines if not line.startswith(own_head)]
    return NftablesText(family, _text(tx.lines), _text(shared), _text(own), {**CHAIN_ORIGINS, **tx.origins})


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n" if lines else ""


def _in_nft(detector: LocalDetector | None, family: int) -> tuple[str, str]:
    """The two matches in nft's words (pkg/proxy/util/localdetector.go, IfLocalNFT; `iifname` since 1.34.2, before it was `iif`)."""
    if detector is None:
        return "", ""
    option, _, value = detector.if_local.partition(" ")
    field = "iifname" if option == "-i" else f"{'ip' if family == 4 else 'ip6'} saddr"
    value = f"{value[:-1]}*" if option == "-i" and value.endswith("+") else value
    return f"{field} {value}", f"{field} != {value}"
