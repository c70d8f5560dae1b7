"""`Calico`: the options of the provider, and the IP pools that pods get their addresses from.

Sources: projectcalico/calico api/pkg/apis/projectcalico/v3/ippool.go, libcalico-go/lib/clientv3/ippool.go (defaults and
validation), libcalico-go/lib/ipam/ipam_types.go (IPAMConfig), node/pkg/lifecycle/startup (the pools that calico/node makes).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import KubenetError, NotModelled
from ...kernel.address import prefix

__all__ = ["BLOCKS_PER_HOST", "Calico", "IpPool"]

#: (smallest, usual, largest) prefix length of a block, by family
BLOCK_SIZES = {4: (20, 26, 32), 6: (116, 122, 128)}
#: blocks a host may claim where nothing else is said
BLOCKS_PER_HOST = 20
MODES = ("Never", "Always", "CrossSubnet")
_DNS_NAME = re.compile(r"\A[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
_INTERFACE = re.compile(r"\A[a-zA-Z0-9_-]{1,15}\Z")


@dataclass(frozen=True, slots=True)
class IpPool:
    """One IPPool. `block_size` None is 26 (IPv6: 122); `nat_outgoing` None is what calico/node gives its own pools: IPv4 only.

    Pools with an encapsulation (`ipip_mode`, `vxlan_mode` other than "Never") are kept, and cannot be walked yet.
    """

    cidr: str
    name: str = ""
    block_size: int | None = None
    nat_outgoing: bool | None = None
    ipip_mode: str = "Never"
    vxlan_mode: str = "Never"
    disabled: bool = False
    node_selector: str = "all()"
    allowed_uses: tuple[str, ...] = ("Workload", "Tunnel")
    assignment_mode: str = "Automatic"
    disable_bgp_export: bool = False

    def __post_init__(self) -> None:
        try:
            net = ipaddress.ip_network(self.cidr)
        except (ValueError, TypeError):
            raise KubenetError(f"Calico IP pool: found {self.cidr!r}, expected a network such as '10.244.0.0/16'") from None
        least, usual, most = BLOCK_SIZES[net.version]
        for name in ("nat_outgoing", "disabled", "disable_bgp_export"):
            given = getattr(self, name)
            if given is not None and not isinstance(given, bool):
                raise KubenetError(f"Calico IP pool {self.cidr} {name}: found {given!r}, expected True or False")
        size = usual if self.block_size is None else self.block_size
        if not isinstance(size, int) or isinstance(size, bool) or not least <= size <= most:
            raise KubenetError(f"Calico IP pool {self.cidr} block_size: found {size!r}, expected {least} to {most}")
        if net.prefixlen > size:
            raise KubenetError(f"Calico IP pool {self.cidr}: too small, it must hold at least one block (/{size})")
        for what, mode in (("ipip_mode", self.ipip_mode), ("vxlan_mode", self.vxlan_mode)):
            if mode not in MODES:
                raise KubenetError(f"Calico IP pool {self.cidr} {what}: found {mode!r}, expected {', '.join(MODES)}")
        if self.ipip_mode != "Never" and (self.vxlan_mode != "Never" or net.version == 6):
            raise KubenetError(f"Calico IP pool {self.cidr}: IPIP is for IPv4 only, and not together with VXLAN")
        object.__setattr__(self, "cidr", str(net))
        object.__setattr__(self, "block_size", size)
        object.__setattr__(self, "nat_outgoing", net.version == 4 if self.nat_outgoing is None else self.nat_outgoing)
        object.__setattr__(self, "allowed_uses", tuple(self.allowed_uses))
        name = self.name or f"pool-{re.sub('[^a-z0-9]+', '-', str(net))}"
        if not _DNS_NAME.match(name):
            raise KubenetError(f"Calico IP pool {self.cidr} name: found {self.name!r}, expected lower case letters, digits, '-' and '.'")
        object.__setattr__(self, "name", name)

    @classmethod
    def of(cls, given: Any) -> IpPool:
        """A pool from what people write: an IpPool, a CIDR, or a dict of the fields. Raises KubenetError."""
        if isinstance(given, IpPool):
            return given
        if isinstance(given, str):
            return cls(given)
        if not isinstance(given, Mapping) or not given.keys() <= set(cls.__dataclass_fields__) or "cidr" not in given:
            found = sorted(map(str, given)) if isinstance(given, Mapping) else given
            raise KubenetError(f"Calico ip_pools: found {found!r}, expected a CIDR or a dict of {', '.join(cls.__dataclass_fields__)}")
        return cls(**given)

    @classmethod
    def from_resource(cls, name: str, spec: Mapping[str, Any]) -> IpPool:
        """From an IPPool's spec, with the API's defaults: natOutgoing is off where it is not given. Raises KubenetError."""
        return cls(
            str(spec.get("cidr") or ""), name, spec.get("blockSize") or None, bool(spec.get("natOutgoing")),
            str(spec.get("ipipMode") or "Never"), str(spec.get("vxlanMode") or "Never"), bool(spec.get("disabled")),
            str(spec.get("nodeSelector") or "all()"), tuple(map(str, spec.get("allowedUses") or ("Workload", "Tunnel"))),
            str(spec.get("assignmentMode") or "Automatic"), bool(spec.get("disableBGPExport")),
        )  # fmt: skip

    def to_resource(self) -> dict[str, Any]:
        """The spec as the API server keeps it."""
        return {
            "allowedUses": list(self.allowed_uses), "assignmentMode": self.assignment_mode, "blockSize": self.block_size, "cidr": self.cidr,
            "ipipMode": self.ipip_mode, "natOutgoing": self.nat_outgoing, "nodeSelector": self.node_selector, "vxlanMode": self.vxlan_mode,
            **({"disabled": True} if self.disabled else {}), **({"disableBGPExport": True} if self.disable_bgp_export else {}),
        }  # fmt: skip

    @property
    def family(self) -> int:
        return prefix(self.cidr).family

    @property
    def size(self) -> int:
        """The prefix length of its blocks."""
        assert self.block_size is not None
        return self.block_size

    @property
    def overlay(self) -> str:
        """The encapsulation that it asks for: "IPIP Always", "" for none."""
        for what, mode in (("IPIP", self.ipip_mode), ("VXLAN", self.vxlan_mode)):
            if mode != "Never":
                return f"{what} {mode}"
        return ""

    def block_of(self, ip: str) -> str:
        """The block (CIDR) in which an address of the pool lies."""
        return str(prefix(f"{ip}/{self.size}"))


@dataclass(frozen=True, slots=True)
class Calico:
    """Calico as a routed network without overlay: a /32 per pod, a route per block, BGP between all nodes.

    `ip_pools`: CIDRs, dicts or IpPools; without any, the cluster's pod network is the pool. `block_size`, `nat_outgoing`, `ipip_mode`
    and `vxlan_mode` are those of the pools that do not say them. `mtu` None is the underlay's. `strict_affinity`: no address is
    borrowed from another node's block. `max_blocks_per_host` 0 is 20; a number needs strict affinity, as upstream.
    `ip_cooldown_seconds`: how long a released address rests. `reserved`: CIDRs that are never given (IPReservation).
    """

    ip_pools: Any = ()  # a tuple of IpPool once it is made
    block_size: int | None = None
    nat_outgoing: bool | None = None
    ipip_mode: str = "Never"
    vxlan_mode: str = "Never"
    mtu: int | None = None
    felix_interface_prefix: str = "cali"
    strict_affinity: bool = False
    max_blocks_per_host: int = 0
    ip_cooldown_seconds: int = 0
    reserved: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given = self.ip_pools
        listed = [given] if isinstance(given, str | IpPool | Mapping) else list(given) if isinstance(given, Sequence) else None
        if listed is None:
            raise KubenetError(f"Calico ip_pools: found {given!r}, expected a list of CIDRs or dicts")
        pools = tuple(IpPool.of(self._filled(p)) for p in listed)
        for i, p in enumerate(pools):
            for q in pools[i + 1 :]:
                if ipaddress.ip_network(p.cidr).version == ipaddress.ip_network(q.cidr).version and (
                    prefix(p.cidr).covers(prefix(q.cidr)) or prefix(q.cidr).covers(prefix(p.cidr))
                ):
                    raise KubenetError(f"Calico IP pools {p.cidr} and {q.cidr} overlap")
        object.__setattr__(self, "ip_pools", pools)
        if self.mtu is not None and (not isinstance(self.mtu, int) or isinstance(self.mtu, bool) or not 576 <= self.mtu <= 65535):
            raise KubenetError(f"Calico mtu: found {self.mtu!r}, expected a number of bytes from 576 to 65535")
        if not isinstance(self.felix_interface_prefix, str) or not _INTERFACE.match(self.felix_interface_prefix + "x" * 11):
            raise KubenetError(f"Calico felix_interface_prefix: found {self.felix_interface_prefix!r}, expected up to 4 letters or digits")
        for name, most in (("max_blocks_per_host", 10_000), ("ip_cooldown_seconds", 1200)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
                raise KubenetError(f"Calico {name}: found {value!r}, expected a number from 0 to {most}")
        if self.max_blocks_per_host and not self.strict_affinity:
            raise KubenetError("Calico max_blocks_per_host: a limit needs strict_affinity=True")
        reserved = (self.reserved,) if isinstance(self.reserved, str) else tuple(self.reserved)
        try:
            object.__setattr__(self, "reserved", tuple(str(ipaddress.ip_network(c)) for c in reserved))
        except (ValueError, TypeError):
            raise KubenetError(f"Calico reserved: found {self.reserved!r}, expected networks such as '10.244.0.0/30'") from None

    def _filled(self, given: Any) -> Any:
        """A pool as it is written, with what it does not say itself."""
        if isinstance(given, IpPool):
            return given
        own = {"cidr": given} if isinstance(given, str) else given
        common = {k: getattr(self, k) for k in ("block_size", "nat_outgoing", "ipip_mode", "vxlan_mode")}
        if isinstance(own, Mapping):
            if ":" in str(own.get("cidr")):  # one number cannot be the block size of both families
                common["block_size"] = common["block_size"] if (common["block_size"] or 0) > 32 else None
                common["ipip_mode"] = "Never"
            elif (common["block_size"] or 0) > 32:
                common["block_size"] = None
            own = {**{k: v for k, v in common.items() if v is not None}, **own}
        return own

    @property
    def name(self) -> str:
        return "calico"

    @property
    def networks(self) -> tuple[str, ...]:
        """The pod networks that the options name themselves."""
        return tuple(p.cidr for p in self.ip_pools if not p.disabled)

    def with_pools(self, cidrs: Sequence[str]) -> Calico:
        """With these networks as pools, named as calico/node names its own, where the options name none."""
        if self.ip_pools:
            return self
        first = {fam: next((c for c in cidrs if prefix(c).family == fam), "") for fam in (4, 6)}
        named = [{"cidr": c, **({"name": f"default-ipv{f}-ippool"} if first[f := prefix(c).family] == c else {})} for c in cidrs]
        return replace(self, ip_pools=tuple(named))

    def not_modelled(self) -> str:
        """Why packets of this network cannot be walked yet; "" if they can."""
        for p in self.ip_pools:
            if p.overlay and not p.disabled:
                return f"calico: the IP pool {p.name} ({p.cidr}) has {p.overlay}; only routing without overlay is modelled"
            if p.node_selector.replace(" ", "") not in ("all()", "!all()"):
                return f"calico: the IP pool {p.name} has the nodeSelector {p.node_selector}"
        return ""

    def require_modelled(self) -> None:
        """Raises NotModelled."""
        if why := self.not_modelled():
            raise NotModelled(f"pod network: {why}")
