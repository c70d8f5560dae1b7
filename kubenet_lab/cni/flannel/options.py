"""`Flannel`: the provider's options, and net-conf.json, in which a cluster states them.

Sources: flannel-io/flannel Documentation/{backends,configuration}.md, pkg/subnet/config.go, pkg/backend/*; main.go for the flags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import KubenetError, NotModelled
from ...kernel.address import prefix

__all__ = ["BACKENDS", "NETWORK", "Flannel", "net_conf", "networks_in"]

NETWORK = "10.244.0.0/16"
BACKENDS = ("vxlan", "host-gw", "udp", "wireguard", "ipip", "ipsec", "alloc", "extension", "tencent-vpc")
#: backends that the daemon has and the lab does not, and why
_NOT_MODELLED = {
    "ipip": "the lab has no IPIP device yet",
    "ipsec": "the lab has no IPsec (xfrm) policies",
    "alloc": "it allocates leases only; who routes between the nodes is up to the cloud",
    "extension": "it runs shell commands that net-conf.json names",
    "tencent-vpc": "it writes routes into a cloud's route table",
}
_PORTS = {"vxlan": 8472, "udp": 8285, "wireguard": 51820}
WIREGUARD_PORT6 = 51821
MODES = ("separate", "auto", "ipv4", "ipv6")
#: options of one backend only
_ONLY = {"direct_routing": "vxlan", "learning": "vxlan", "mode": "wireguard", "port6": "wireguard"}


@dataclass(frozen=True, slots=True)
class Flannel:
    """Options of the provider: net-conf.json and the daemon's flags.

    `backend`: "vxlan", "host-gw", and "udp" and "wireguard" as far as headers and MTU go. `network` and `ipv6_network`
    are Network and IPv6Network; an empty one turns its family off. `port`: None is the backend's own (vxlan 8472, the kernel's
    default, not IANA's 4789; udp 8285; wireguard 51820, and `port6` 51821). `direct_routing`: vxlan nodes that are reached
    without a gateway get plain routes. `mode`: wireguard's, "separate" has a device per family. `mtu`: what net-conf.json
    gives as the underlay's, in bytes; None is the interface's own. `random_fully`: iptables knows --random-fully. `forward_rules`:
    --iptables-forward-rules. `hairpin_mode` and `bridge` are the delegate's; `cni_conf` is a whole cni-conf.json in their place.
    """

    backend: str = "vxlan"
    network: str = NETWORK
    vni: int = 1
    port: int | None = None
    direct_routing: bool = False
    learning: bool = False
    mtu: int | None = None
    ip_masq: bool = True
    random_fully: bool = True
    hairpin_mode: bool = True
    bridge: str = "cni0"
    ipv6_network: str = ""
    mode: str = "separate"
    port6: int | None = None
    forward_rules: bool = True
    cni_conf: str = ""

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise KubenetError(f"flannel has no backend {self.backend!r}; it has {', '.join(BACKENDS)}")
        if self.backend in _NOT_MODELLED:
            raise NotModelled(f"flannel backend {self.backend}: {_NOT_MODELLED[self.backend]}")
        defaults = {f.name: f.default for f in fields(self)}
        for name, backend in _ONLY.items():
            if self.backend != backend and getattr(self, name) != defaults[name]:
                raise KubenetError(f"flannel backend {self.backend} has no {name}: it is an option of {backend}")
        if not _number(self.vni, 1, (1 << 24) - 1):
            raise KubenetError(f"flannel VNI {self.vni}: expected 1 to 16777215")
        if self.mtu is not None and not _number(self.mtu, 0, 65535):
            raise KubenetError(f"flannel MTU {self.mtu!r}: expected a number of bytes")
        if self.mode not in MODES:
            raise KubenetError(f"flannel wireguard Mode {self.mode!r}: expected {', '.join(MODES)}")
        self._resolve_port("port", _PORTS.get(self.backend))
        self._resolve_port("port6", WIREGUARD_PORT6 if self.backend == "wireguard" else None)
        for name, family in (("network", 4), ("ipv6_network", 6)):
            _check_network("Network" if family == 4 else "IPv6Network", getattr(self, name), family)
        if not self.network and not self.ipv6_network:
            raise KubenetError("flannel: please define a correct Network parameter in the flannel config")
        if self.backend == "udp" and self.ipv6_network:
            raise KubenetError("flannel backend udp carries IPv4 only")

    def _resolve_port(self, name: str, default: int | None) -> None:
        value = getattr(self, name)
        if value is None:
            object.__setattr__(self, name, default)
        elif not _number(value, 1, 65535):
            raise KubenetError(f"flannel {name} {value!r}: expected 1 to 65535")
        elif default is None:
            raise KubenetError(f"flannel backend {self.backend} has no {name}")

    @classmethod
    def from_net_conf(cls, text: str, ip_masq: bool = True, **flags: Any) -> Flannel:
        """From net-conf.json and the daemon's `flags`. Without a Backend the type is "udp".

        Keys are matched as Go's encoding/json does, without regard to case. Raises KubenetError, or NotModelled with the reason.
        """
        try:
            conf = _object(text)
            backend = _get(conf, "Backend", {"Type": "udp"})
            if not isinstance(backend, Mapping | None):
                raise ValueError(f"error decoding Backend property of config: found {backend!r}")
            return cls(**_given(conf, backend or {}), ip_masq=ip_masq, **flags)
        except (ValueError, TypeError) as e:
            raise KubenetError(f"net-conf.json: {e}") from None

    @property
    def name(self) -> str:
        """As a cluster's summary calls it: "flannel vxlan", "flannel vxlan with DirectRouting"."""
        return f"flannel {self.backend}" + (" with DirectRouting" if self.direct_routing else "")

    @property
    def families(self) -> tuple[int, ...]:
        return (*((4,) if self.network else ()), *((6,) if self.ipv6_network else ()))

    def network_of(self, family: int) -> str:
        return self.network if family == 4 else self.ipv6_network

    @property
    def networks(self) -> tuple[str, ...]:
        """The pod networks that the options name themselves: none where they are left at their defaults."""
        if self.network == NETWORK and not self.ipv6_network:
            return ()
        return tuple(n for n in (self.network, self.ipv6_network) if n)

    def device(self, family: int = 4) -> str:
        """The backend's device; "" for host-gw."""
        v4, v6 = {
            "vxlan": (f"flannel.{self.vni}", f"flannel-v6.{self.vni}"), "udp": ("flannel0", ""),
            "wireguard": ("flannel-wg", "flannel-wg-v6"),
        }.get(self.backend, ("", ""))  # fmt: skip
        return v6 if family == 6 and self.mode == "separate" else v4


def _number(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_network(name: str, cidr: str, family: int) -> None:
    if not cidr:
        return
    try:
        if "/" not in cidr:
            raise ValueError("expected a CIDR")
        found = prefix(cidr)
    except (ValueError, TypeError, AttributeError) as e:
        raise KubenetError(f"flannel {name} {cidr!r}: {e}") from None
    if found.family != family:
        raise KubenetError(f"flannel {name} {cidr!r}: expected an IPv{family} network")


def _get(conf: Mapping[str, Any], name: str, default: Any = None) -> Any:
    if name in conf:
        return conf[name]
    return next((v for k, v in conf.items() if isinstance(k, str) and k.lower() == name.lower()), default)


#: field of Flannel -> (key of Backend, its type)
_BACKEND_KEYS: dict[str, dict[str, tuple[str, type]]] = {
    "vxlan": {"vni": ("VNI", int), "port": ("Port", int), "mtu": ("MTU", int), "direct_routing": ("DirectRouting", bool),
              "learning": ("Learning", bool)},
    "udp": {"port": ("Port", int)},
    "wireguard": {"port": ("ListenPort", int), "port6": ("ListenPortV6", int), "mtu": ("MTU", int), "mode": ("Mode", str)},
}  # fmt: skip


def _object(text: str) -> Mapping[str, Any]:
    conf = json.loads(text)
    if not isinstance(conf, Mapping):
        raise ValueError("expected an object")
    return conf


def networks_in(text: str) -> tuple[str, ...]:
    """The networks that a net-conf.json turns on, IPv4 first, whatever its backend is. Raises KubenetError."""
    try:
        conf = _object(text)
    except ValueError as e:
        raise KubenetError(f"net-conf.json: {e}") from None
    found = (_get(conf, "Network") if _get(conf, "EnableIPv4", True) else "", _get(conf, "IPv6Network") if _get(conf, "EnableIPv6") else "")
    return tuple(_masked(n) for n in found if n)


def _given(conf: Mapping[str, Any], backend: Mapping[str, Any]) -> dict[str, Any]:
    if _get(conf, "EnableNFTables"):
        raise NotModelled("flannel with EnableNFTables: its nftables rules")
    if _get(conf, "Networks") or _get(conf, "IPv6Networks"):
        raise NotModelled("flannel with several Networks (MultiClusterCIDR)")
    four, six = _get(conf, "EnableIPv4", True), _get(conf, "EnableIPv6", False)
    network, network6 = _get(conf, "Network") or "", _get(conf, "IPv6Network") or ""
    if four and not network:
        raise ValueError("please define a correct Network parameter in the flannel config")
    if six and not network6:
        raise ValueError("please define a correct IPv6Network parameter in the flannel config")
    kind = str(_get(backend, "Type") or "").lower()
    if kind not in BACKENDS:
        raise ValueError(f"unknown backend type: {kind}")
    found: dict[str, Any] = {"backend": kind, "network": _masked(network) if four else "", "ipv6_network": _masked(network6) if six else ""}
    for name, (key, shape) in _BACKEND_KEYS.get(kind, {}).items():
        value = _get(backend, key)
        if value is None:
            continue
        if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
            raise ValueError(f"error decoding {kind} backend config: {key}: found {value!r}, expected {shape.__name__}")
        if not (name == "port" and value == 0 and kind == "vxlan"):  # 0 leaves it to the kernel
            found[name] = value
    if kind == "vxlan" and _get(backend, "GBP"):
        raise NotModelled("flannel vxlan with GBP (group policy marks)")
    return found


def _masked(cidr: Any) -> str:
    """Go's ParseCIDR drops host bits."""
    return str(prefix(cidr)) if isinstance(cidr, str) and "/" in cidr else str(cidr)


def net_conf(options: Flannel) -> dict[str, Any]:
    """net-conf.json of the options: what differs from the defaults is named."""
    backend: dict[str, Any] = {"Type": options.backend}
    plain = Flannel(backend=options.backend)
    for name, (key, _) in _BACKEND_KEYS.get(options.backend, {}).items():
        if getattr(options, name) != getattr(plain, name):
            backend[key] = getattr(options, name)
    four: dict[str, Any] = {"Network": options.network} if options.network else {"EnableIPv4": False}
    six: dict[str, Any] = {"EnableIPv6": True, "IPv6Network": options.ipv6_network} if options.ipv6_network else {}
    return {**four, **six, "EnableNFTables": False, "Backend": backend}
