"""CNI results and errors as values, in the JSON of every spec version.

Source: containernetworking/cni SPEC.md 1.1.0, sections 5 (result types) and 2 (error codes); the older
shapes (0.1.0 to 0.4.0) as the same repository's pkg/types convert them. Key order is that of the reference
implementation, so the text can be compared with a real plugin's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import KubenetError
from ..kernel.address import family

__all__ = ["CODES", "VERSIONS", "CniError", "Dns", "Interface", "IpConfig", "Result", "RouteConfig", "newest", "version_key"]

#: the spec versions in order
VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

#: the spec's well-known error codes (0 to 99 are reserved, from 100 on a plugin's own) and 999, the library's "internal"
CODES: dict[int, str] = {
    1: "incompatible CNI version",
    2: "unsupported field in network configuration",
    3: "container unknown or does not exist",
    4: "invalid environment variables",
    5: "I/O failure",
    6: "failed to decode content",
    7: "invalid network config",
    11: "try again later",
    50: "the plugin is not available",
    51: "the plugin is not available, and existing containers may have limited connectivity",
    999: "internal error",
}


class CniError(KubenetError):
    """What a plugin prints instead of a result: `code`, `msg`, `details`."""

    def __init__(self, code: int, msg: str, details: str = ""):
        super().__init__(f"{msg}; {details}" if details else msg)
        self.code, self.msg, self.details = code, msg, details
        self.line: int | None = None  # of the configuration's text, where it is known

    @property
    def meaning(self) -> str:
        """What the spec says about the code; "" for a plugin's own."""
        return CODES.get(self.code, "")

    def to_dict(self) -> dict[str, Any]:
        """The JSON as the plugins print it."""
        return {"code": self.code, "msg": self.msg, **({"details": self.details} if self.details else {})}


def version_key(version: str) -> tuple[int, ...]:
    """For comparing: "1.0.0" -> (1, 0, 0). Raises CniError for what is no version."""
    try:
        parts = tuple(int(p) for p in version.split("."))
    except ValueError:
        parts = ()
    if len(parts) != 3 or min(parts) < 0:
        raise CniError(7, f"invalid version {version!r}: expected three numbers such as 1.0.0")
    return parts


def newest(versions: Sequence[str]) -> str:
    return max(versions, key=version_key)


def _drop_empty(d: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in d.items() if v not in ("", None, (), [], 0)}


@dataclass(frozen=True, slots=True)
class Interface:
    """`sandbox` is the path of the network namespace; "" for an interface of the node."""

    name: str
    mac: str = ""
    mtu: int = 0
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""

    def to_dict(self, version: str) -> dict[str, Any]:
        new = version_key(version) >= (1, 1, 0)
        more = {"mtu": self.mtu} if new else {}
        tail = {"socketPath": self.socket_path, "pciID": self.pci_id} if new else {}
        return {"name": self.name, **_drop_empty({"mac": self.mac, **more, "sandbox": self.sandbox, **tail})}


@dataclass(frozen=True, slots=True)
class IpConfig:
    """`address` as CIDR; `interface` is an index into the result's interfaces, None in an IPAM plugin's result."""

    address: str
    gateway: str = ""
    interface: int | None = None

    @property
    def ip(self) -> str:
        return self.address.partition("/")[0]

    @property
    def family(self) -> int:
        return family(self.address)


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A route of a result. What is 0, None or "" is not given; without `gw` the plugin uses its own gateway."""

    dst: str
    gw: str = ""
    mtu: int = 0
    advmss: int = 0
    priority: int = 0
    table: int | None = None
    scope: int | None = None

    def to_dict(self, version: str = VERSIONS[-1]) -> dict[str, Any]:
        out = {"dst": self.dst, **_drop_empty({"gw": self.gw})}
        if version_key(version) >= (1, 1, 0):
            out |= _drop_empty({"mtu": self.mtu, "advmss": self.advmss, "priority": self.priority})
            out |= {k: v for k, v in (("table", self.table), ("scope", self.scope)) if v is not None}
        return out

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> RouteConfig:
        return cls(
            str(d["dst"]), str(d.get("gw") or ""), int(d.get("mtu") or 0), int(d.get("advmss") or 0), int(d.get("priority") or 0),
            d.get("table"), d.get("scope"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dns:
    nameservers: tuple[str, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        lists = {"nameservers": list(self.nameservers), "domain": self.domain, "search": list(self.search), "options": list(self.options)}
        return _drop_empty(lists)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Dns:
        return cls(tuple(d.get("nameservers") or ()), d.get("domain") or "", tuple(d.get("search") or ()), tuple(d.get("options") or ()))

    def __bool__(self) -> bool:
        return bool(self.nameservers or self.domain or self.search or self.options)


@dataclass(frozen=True, slots=True)
class Result:
    """What ADD gives. An IPAM plugin's result has no interfaces."""

    interfaces: tuple[Interface, ...] = ()
    ips: tuple[IpConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    dns: Dns = field(default_factory=Dns)
    cni_version: str = "1.0.0"

    def to_dict(self, version: str | None = None) -> dict[str, Any]:
        """The JSON of one spec version (default: the result's own). Raises CniError for one that cannot say it."""
        version = version or self.cni_version
        out: dict[str, Any] = {"cniVersion": version}
        if version_key(version) < (0, 3, 0):
            if not self.ips:
                raise CniError(999, "cannot convert: no valid IP addresses")
            return out | self._old() | {"dns": self.dns.to_dict()}
        if self.interfaces:
            out["interfaces"] = [i.to_dict(version) for i in self.interfaces]
        if self.ips:
            with_version = version_key(version) < (1, 0, 0)
            out["ips"] = [
                {
                    **({"version": str(c.family)} if with_version else {}),
                    **({"interface": c.interface} if c.interface is not None else {}),
                    "address": c.address,
                    **({"gateway": c.gateway} if c.gateway else {}),
                }
                for c in self.ips
            ]
        if self.routes:
            out["routes"] = [r.to_dict(version) for r in self.routes]
        return out | {"dns": self.dns.to_dict()}

    def _old(self) -> dict[str, Any]:
        """0.1.0 and 0.2.0: at most one address of each family, the routes under it."""
        out: dict[str, Any] = {}
        for fam in (4, 6):
            c = next((c for c in self.ips if c.family == fam), None)
            if c is not None:
                routes = [r.to_dict("0.2.0") for r in self.routes if family(r.dst) == fam]
                out[f"ip{fam}"] = {"ip": c.address, **_drop_empty({"gateway": c.gateway, "routes": routes})}
        return out

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Result:
        """The result in a JSON of any spec version. Raises CniError."""
        try:
            version = str(d.get("cniVersion") or "0.1.0")
            if version_key(version) < (0, 3, 0):
                old = [d[k] for k in ("ip4", "ip6") if d.get(k)]
                ips = tuple(IpConfig(str(o["ip"]), str(o.get("gateway") or "")) for o in old)
                routes = tuple(RouteConfig.from_dict(r) for o in old for r in o.get("routes") or ())
                return cls((), ips, routes, Dns.from_dict(d.get("dns") or {}), version)
            interfaces = tuple(
                Interface(
                    str(i.get("name") or ""), str(i.get("mac") or ""), int(i.get("mtu") or 0), str(i.get("sandbox") or ""),
                    str(i.get("socketPath") or ""), str(i.get("pciID") or ""),
                )
                for i in d.get("interfaces") or ()
            )  # fmt: skip
            ips = tuple(IpConfig(str(c["address"]), str(c.get("gateway") or ""), c.get("interface")) for c in d.get("ips") or ())
            routes = tuple(RouteConfig.from_dict(r) for r in d.get("routes") or ())
            return cls(interfaces, ips, routes, Dns.from_dict(d.get("dns") or {}), version)
        except (KeyError, TypeError, ValueError, AttributeError) as e:
            raise CniError(6, "could not parse prevResult", str(e)) from None

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), indent=4)
