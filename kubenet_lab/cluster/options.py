"""What a cluster is loaded with: the options of `kn.load`, as one value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..dns import CoreDNS
from ..dns.coredns import not_modelled
from ..errors import KubenetError, NotFound, NotModelled
from ..policy import PolicyEngine, engine_for
from ..services import CloudLoadBalancer, KubeProxy, MetalLB
from ..services.allocators import NodePortRange
from ..versions import MODELLED
from .underlay import Underlay

__all__ = ["MAX_SLICE", "Kubelet", "Options", "listening_port"]

MAX_SLICE = 1000  # what kube-controller-manager accepts (pkg/controller/endpointslice, cmd/kube-controller-manager/app/options)


@dataclass(frozen=True, slots=True)
class Kubelet:
    """The kubelet's DNS settings: `cluster_dns` (None: the kube-dns Service's address) and the text of the node's resolv.conf."""

    cluster_dns: tuple[str, ...] | None = None
    resolv_conf: str | None = None

    def __post_init__(self) -> None:
        given = self.cluster_dns
        if given is not None:
            object.__setattr__(self, "cluster_dns", tuple(a.strip() for a in given.split(",")) if isinstance(given, str) else tuple(given))
        for address in self.cluster_dns or ():
            if not _is_ip(address):
                raise KubenetError(f"Kubelet cluster_dns: found {address!r}, expected an IP address")


def _is_ip(text: Any) -> bool:
    from ..kernel.address import canonical

    try:
        canonical(text)
    except ValueError:
        return False
    return True


def _check_range(text: Any) -> None:
    try:
        NodePortRange(text)
    except KubenetError:
        raise KubenetError(f"node_ports: found {text!r}, expected a range such as '30000-32767' or '30000+2767'") from None


_DOMAIN = re.compile(r"\A(?=.{1,200}\Z)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*\Z")


@dataclass(frozen=True, slots=True)
class Options:
    """All of `kn.load`'s options, defaults filled in. "auto" means: detected from the objects, else the default."""

    nodes: int = 2
    cni: Any = "auto"
    proxy: Any = "auto"
    dns: Any = "auto"
    policy: Any = "auto"
    load_balancer: Any = "auto"
    seed: int = 0
    strict: bool | None = None
    listening: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    kubernetes: str = MODELLED["kubernetes"]
    pod_cidr: str | None = None
    service_cidr: str | None = None
    node_ports: str | None = None
    max_endpoints_per_slice: int | None = None
    node_cidr: str | None = None
    domain: str = "cluster.local"
    ip_families: tuple[str, ...] = ("IPv4",)
    kubelet: Kubelet = field(default_factory=Kubelet)
    underlay: Underlay = field(default_factory=Underlay)

    @classmethod
    def of(cls, **given: Any) -> Options:
        """Options from keyword arguments, with the shapes people type. Raises KubenetError with what was found and expected."""
        if unknown := sorted(given.keys() - cls.__dataclass_fields__.keys()):
            raise NotFound("option", unknown[0], list(cls.__dataclass_fields__))
        given = {k: v for k, v in given.items() if v is not None or k in ("strict", "policy")}
        for name, kind in (("underlay", Underlay), ("kubelet", Kubelet)):
            value = given.get(name)
            if isinstance(value, Mapping):
                try:
                    given[name] = kind(**value)
                except TypeError:
                    raise KubenetError(
                        f"{name}: found {sorted(map(str, value))}, expected {', '.join(kind.__dataclass_fields__)}"
                    ) from None
            elif name in given and not isinstance(value, kind):
                raise KubenetError(f"{name}: found {value!r}, expected kn.{kind.__name__}(...)")
        if "ip_families" in given:
            families = given["ip_families"]
            given["ip_families"] = tuple(families) if isinstance(families, list | tuple) else (families,)
        done = cls(**given)
        done._check()
        return done

    def _check(self) -> None:
        if not isinstance(self.nodes, int) or isinstance(self.nodes, bool) or not 1 <= self.nodes <= 250:
            raise KubenetError(f"nodes: found {self.nodes!r}, expected a number from 1 to 250")
        self._check_types()
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise KubenetError(f"seed: found {self.seed!r}, expected a number")
        for f in self.ip_families:
            if f not in ("IPv4", "IPv6"):
                raise KubenetError(f"ip_families: found {f!r}, expected 'IPv4' or 'IPv6'")
        if not 1 <= len(self.ip_families) <= 2 or len(set(self.ip_families)) != len(self.ip_families):
            raise KubenetError(f"ip_families: found {self.ip_families!r}, expected one or both families, each once")
        if str(self.kubernetes) != MODELLED["kubernetes"]:
            raise NotModelled(f"Kubernetes {self.kubernetes}: the lab models {MODELLED['kubernetes']}")
        if not isinstance(self.listening, Mapping):
            raise KubenetError(f'listening: found {self.listening!r}, expected a dict such as {{"shop/web": [8080, "53/UDP"]}}')
        for key, ports in self.listening.items():
            for port in (ports,) if isinstance(ports, str) or not isinstance(ports, Sequence) else ports:
                listening_port(key, port)
            if isinstance(ports, str) or not isinstance(ports, Sequence):
                raise KubenetError(f"listening[{key!r}]: found {ports!r}, expected a list of ports")
        self.kube_proxy  # noqa: B018 - raises for what is no mode
        self.coredns  # noqa: B018
        engine_for("flannel", self.policy_option)
        self.load_balancer_option  # noqa: B018
        if self.node_ports is not None:
            _check_range(self.node_ports)
        size = self.max_endpoints_per_slice
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_SLICE):
            raise KubenetError(f"max_endpoints_per_slice: found {size!r}, expected a number from 1 to {MAX_SLICE}")

    def _check_types(self) -> None:
        for name in ("pod_cidr", "service_cidr", "node_cidr"):
            value = getattr(self, name)
            if value is not None and not (
                isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(v, str) for v in value))
            ):
                raise KubenetError(f"{name}: found {value!r}, expected a CIDR such as '10.244.0.0/16'")
        shapes: dict[str, type] = {"proxy": KubeProxy, "dns": CoreDNS, "policy": PolicyEngine}
        for name, shape in shapes.items():
            value = getattr(self, name)
            if not isinstance(value, str | shape) and not (name == "policy" and value is None) and not (name == "dns" and value is False):
                raise KubenetError(f"{name}: found {value!r}, expected a name or kn.{shape.__name__}(...)")
        if not isinstance(self.domain, str) or not _DOMAIN.match(self.domain):
            raise KubenetError(f"domain: found {self.domain!r}, expected a DNS name such as 'cluster.local'")
        if self.strict not in (None, True, False):
            raise KubenetError(f"strict: found {self.strict!r}, expected True, False or None")

    @property
    def families(self) -> tuple[int, ...]:
        return tuple(4 if f == "IPv4" else 6 for f in self.ip_families)

    @property
    def kube_proxy(self) -> KubeProxy:
        """What was asked for; the default for "auto". Raises KubenetError for what is no mode."""
        if isinstance(self.proxy, KubeProxy):
            return self.proxy
        return KubeProxy() if self.proxy == "auto" else KubeProxy(mode=self.proxy)

    @property
    def coredns(self) -> CoreDNS | None:
        """The DNS add-on, None for "none". Raises NotModelled for another one."""
        if isinstance(self.dns, CoreDNS):
            return self.dns
        if self.dns in ("auto", "coredns"):
            return CoreDNS()
        if self.dns in ("none", False):
            return None
        raise not_modelled(str(self.dns))

    @property
    def load_balancer_option(self) -> MetalLB | CloudLoadBalancer | None:
        """The load-balancer provider; None: nobody gives addresses. Raises KubenetError."""
        if isinstance(self.load_balancer, MetalLB | CloudLoadBalancer):
            return self.load_balancer
        named = {"auto": None, "none": None, "metallb": MetalLB(), "cloud": CloudLoadBalancer()}
        if not isinstance(self.load_balancer, str) or self.load_balancer not in named:
            known = "'none', 'metallb', 'cloud', kn.MetalLB(...) or kn.CloudLoadBalancer(...)"
            raise KubenetError(f"load_balancer: found {self.load_balancer!r}, expected {known}")
        return named[self.load_balancer]

    @property
    def policy_option(self) -> str | PolicyEngine | None:
        chosen: str | PolicyEngine | None = self.policy
        return chosen


def listening_port(key: str, text: Any) -> tuple[str, int]:
    """(protocol, number) of an entry of `listening`. Raises KubenetError."""
    number, _, protocol = str(text).partition("/")
    if (
        not (number.isascii() and number.isdigit())
        or not 1 <= int(number) <= 65535
        or (protocol or "TCP").upper() not in ("TCP", "UDP", "SCTP")
    ):
        raise KubenetError(f'listening[{key!r}]: found {text!r}, expected a port such as 8080 or "53/UDP"')
    return (protocol or "TCP").upper(), int(number)
