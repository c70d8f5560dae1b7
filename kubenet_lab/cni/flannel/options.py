"""`Flannel`: the provider's options, and net-conf.json, in which a cluster states them.

Sources: flannel-io/flannel Documentation/backends.md, Documentation/configuration.md, pkg/subnet/config.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import KubenetError, NotModelled
from ...kernel.address import prefix

__all__ = ["BACKENDS", "Flannel", "net_conf"]

BACKENDS = ("vxlan", "host-gw", "udp", "wireguard", "ipip", "ipsec", "alloc", "extension", "tencent-vpc")
NETWORK = "10.244.0.0/16"
WALKED = ("vxlan", "host-gw")


@dataclass(frozen=True, slots=True)
class Flannel:
    """Options of the provider: net-conf.json and the daemon's flags. Backends "vxlan" and "host-gw" are modelled.

    `port` 8472 is the kernel's default for vxlan (the IANA number 4789 is used on Windows only); `mtu` None is the underlay's,
    less what the backend adds. `direct_routing`: nodes on one network get plain routes. `hairpin_mode` and `bridge` are the
    delegate's.
    """

    backend: str = "vxlan"
    network: str = NETWORK
    vni: int = 1
    port: int = 8472
    direct_routing: bool = False
    learning: bool = False
    mtu: int | None = None
    ip_masq: bool = True
    random_fully: bool = True
    hairpin_mode: bool = True
    bridge: str = "cni0"

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise KubenetError(f"flannel has no backend {self.backend!r}; it has {', '.join(BACKENDS)}")
        if self.backend not in WALKED:
            raise NotModelled(f"flannel backend {self.backend}")
        if not 1 <= self.vni < 1 << 24:
            raise KubenetError(f"flannel VNI {self.vni}: expected 1 to 16777215")
        if self.direct_routing and self.backend != "vxlan":
            raise KubenetError(f"flannel backend {self.backend} has no DirectRouting: it is an option of vxlan")
        try:
            net = prefix(self.network)
        except ValueError as e:
            raise KubenetError(f"flannel Network {self.network!r}: {e}") from None
        if net.family == 6:
            raise NotModelled("flannel with IPv6 networks")

    @classmethod
    def from_net_conf(cls, text: str, ip_masq: bool = True) -> Flannel:
        """From net-conf.json. Without a Backend the type is "udp", which is not modelled. Raises KubenetError."""
        try:
            conf = json.loads(text)
            backend = conf.get("Backend") or {}
            if conf.get("EnableIPv6"):
                raise NotModelled("flannel with IPv6 networks")
            if conf.get("EnableNFTables"):
                raise NotModelled("flannel with EnableNFTables")
            kind = str(backend.get("Type") or "udp").lower()
            return cls(
                kind, str(conf.get("Network") or ""), int(backend.get("VNI") or 1), int(backend.get("Port") or 8472),
                bool(backend.get("DirectRouting")) and kind == "vxlan", bool(backend.get("Learning")),
                int(backend["MTU"]) if backend.get("MTU") else None, ip_masq,
            )  # fmt: skip
        except (ValueError, AttributeError, TypeError) as e:
            raise KubenetError(f"net-conf.json: {e}") from None

    @property
    def name(self) -> str:
        """As a cluster's summary calls it: "flannel vxlan", "flannel vxlan with DirectRouting"."""
        return f"flannel {self.backend}" + (" with DirectRouting" if self.direct_routing else "")

    @property
    def networks(self) -> tuple[str, ...]:
        """The pod networks that the options name themselves: none where Network is left at its default."""
        return () if self.network == NETWORK else (self.network,)

    @property
    def device(self) -> str:
        """The vxlan backend's device."""
        return f"flannel.{self.vni}"


def net_conf(options: Flannel) -> dict[str, Any]:
    """net-conf.json of the options: what differs from the defaults is named."""
    backend: dict[str, Any] = {"Type": options.backend}
    named: Mapping[str, tuple[Any, Any]] = {
        "VNI": (options.vni, 1), "Port": (options.port, 8472), "DirectRouting": (options.direct_routing, False),
        "Learning": (options.learning, False), "MTU": (options.mtu, None),
    }  # fmt: skip
    backend |= {k: v for k, (v, default) in named.items() if v != default}
    return {"Network": options.network, "EnableNFTables": False, "Backend": backend}
