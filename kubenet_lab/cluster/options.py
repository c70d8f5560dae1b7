"""What a cluster is loaded with: the options of `kn.load`, as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..dns import CoreDNS
from ..errors import KubenetError
from ..policy import PolicyEngine
from ..services import KubeProxy

__all__ = ["Kubelet", "Options", "Underlay"]


@dataclass(frozen=True, slots=True)
class Kubelet:
    """The kubelet's DNS settings: `cluster_dns` (--cluster-dns; None: the address of the kube-dns Service) and the node's resolv.conf text."""

    cluster_dns: tuple[str, ...] | None = None
    resolv_conf: str | None = None

    def __post_init__(self) -> None:
        if self.cluster_dns is not None:
            object.__setattr__(self, "cluster_dns", tuple(self.cluster_dns))


@dataclass(frozen=True, slots=True)
class Underlay:
    """The network between the nodes: its MTU in bytes and its delay one way in seconds."""

    mtu: int = 1500
    delay: float = 0.0002


@dataclass(frozen=True, slots=True)
class Options:
    """All of `kn.load`'s options, defaults filled in. "auto" means: detected from the objects, else the default."""

    nodes: int = 2
    cni: Any = "auto"
    proxy: Any = "auto"
    dns: Any = "auto"
    policy: Any = "auto"
    seed: int = 0
    strict: bool | None = None
    listening: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    kubernetes: str = "1.34"
    pod_cidr: str | None = None
    service_cidr: str | None = None
    node_cidr: str | None = None
    domain: str = "cluster.local"
    ip_families: tuple[str, ...] = ("IPv4",)
    kubelet: Kubelet = field(default_factory=Kubelet)
    underlay: Underlay = field(default_factory=Underlay)

    @classmethod
    def of(cls, **given: Any) -> Options:
        """Options from keyword arguments, with the shapes people type. Raises KubenetError with what was found and expected."""
        unknown = given.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            from difflib import get_close_matches

            name = sorted(unknown)[0]
            near = get_close_matches(name, list(cls.__dataclass_fields__), n=1)
            raise KubenetError(f"no option {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; options: {', '.join(cls.__dataclass_fields__)}"))
        given = {k: v for k, v in given.items() if v is not None or k == "strict"}
        if isinstance(given.get("underlay"), Mapping):
            given["underlay"] = Underlay(**given["underlay"])
        if "ip_families" in given:
            families = given["ip_families"]
            given["ip_families"] = (families,) if isinstance(families, str) else tuple(families)
        done = cls(**given)
        done._check()
        return done

    def _check(self) -> None:
        if not isinstance(self.nodes, int) or isinstance(self.nodes, bool) or not 1 <= self.nodes <= 250:
            raise KubenetError(f"nodes: found {self.nodes!r}, expected a number from 1 to 250")
        for f in self.ip_families:
            if f not in ("IPv4", "IPv6"):
                raise KubenetError(f"ip_families: found {f!r}, expected 'IPv4' or 'IPv6'")

    @property
    def families(self) -> tuple[int, ...]:
        return tuple(4 if f == "IPv4" else 6 for f in self.ip_families)

    @property
    def kube_proxy(self) -> KubeProxy:
        if isinstance(self.proxy, KubeProxy):
            return self.proxy
        return KubeProxy() if self.proxy == "auto" else KubeProxy(mode=self.proxy)

    @property
    def coredns(self) -> CoreDNS | None:
        """The DNS add-on, None for `dns=None`-like "none"."""
        if isinstance(self.dns, CoreDNS):
            return self.dns
        if self.dns in ("auto", "coredns"):
            return CoreDNS()
        if self.dns in ("none", False):
            return None
        from ..errors import NotModelled

        raise NotModelled(f"cluster DNS {self.dns!r}")

    @property
    def policy_option(self) -> str | PolicyEngine:
        chosen: str | PolicyEngine = self.policy
        return chosen
