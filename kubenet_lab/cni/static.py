"""The static IPAM plugin: the addresses that the configuration or the runtime names, and no memory of them.

Source: containernetworking/plugins plugins/ipam/static. Addresses of runtimeConfig.ips win over those of args.cni, these over
CNI_ARGS IP=, these over the configuration's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kernel.address import canonical, prefix
from .contract import Call, args_of
from .decode import IP, NETCONF, ROUTE, STRING, ListOf, Struct, decode
from .result import CniError, Dns, IpConfig, Result, RouteConfig

__all__ = ["Static"]

_ADDRESS = Struct("main.Address", {"address": STRING, "gateway": IP})
_DNS = NETCONF["dns"]
_PARTS = {"routes": ListOf(ROUTE, pointers=True), "addresses": ListOf(_ADDRESS), "dns": _DNS}
SCHEMA = Struct(
    "main.Net",
    {
        "name": STRING, "cniVersion": STRING, "ipam": Struct("main.IPAMConfig", {"type": STRING, **_PARTS}),
        "runtimeConfig": Struct("", {"ips": ListOf(STRING)}),
        "args": Struct("", {"cni": Struct("main.IPAMArgs", {"ips": ListOf(STRING)})}),
    },
)  # fmt: skip


def _fail(message: str) -> CniError:
    return CniError(999, message)


def _cidr(text: str, complaint: str) -> str:
    """A CIDR with its host's bits."""
    address, slash, length = text.partition("/")
    try:
        if not slash or not length.isdigit():
            raise ValueError
        full = f"{canonical(address)}/{int(length)}"
        prefix(full)
        return full
    except ValueError:
        raise _fail(f"{complaint} CIDR notation, got: '{text}'") from None


class Static:
    """The plugin. Type "static"."""

    type = "static"
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses before anything is given. Raises CniError."""
        self._load(config)

    def _load(self, config: Mapping[str, Any], args: str = "") -> tuple[list[IpConfig], dict[str, Any]]:
        """The addresses, and the rest of the ipam section."""
        conf = decode(config, SCHEMA)
        ipam = conf.get("ipam")
        if ipam is None:
            raise _fail("IPAM config missing 'ipam' key")
        own = [(a.get("address", ""), a.get("gateway", "")) for a in ipam.get("addresses", ())]
        asked = self._from_args(args)
        for part in (conf.get("args", {}).get("cni", {}), conf.get("runtimeConfig", {})):
            if part.get("ips"):
                own, asked = [], [IpConfig(_cidr(text, "an entry in the 'ips' field is NOT in")) for text in part["ips"]]
        ips = [IpConfig(_cidr(text, "the 'address' field is expected to be in"), gateway) for text, gateway in own] + asked
        families = [c.family for c in ips]
        version = str(config.get("cniVersion") or "")
        if max(families.count(4), families.count(6)) > 1 and version in ("", "0.1.0", "0.2.0"):
            raise _fail(f"CNI version {version} does not support more than 1 address per family")
        return ips, ipam

    @staticmethod
    def _from_args(args: str) -> list[IpConfig]:
        """CNI_ARGS: IP=CIDR,CIDR and GATEWAY=address,address. A gateway is for the address in whose network it is."""
        pairs = args_of(args, ("IP", "GATEWAY"))
        ips = [IpConfig(_cidr(t.strip(), "the 'ip' field is expected to be in")) for t in pairs["IP"].split(",")] if pairs.get("IP") else []
        for text in pairs["GATEWAY"].split(",") if pairs.get("GATEWAY") else ():
            try:
                gateway = canonical(text.strip())
            except ValueError:
                raise _fail(f"invalid gateway address: {text}") from None
            ips = [IpConfig(c.address, gateway) if gateway in prefix(c.address) else c for c in ips]
        return ips

    def add(self, call: Call) -> Result:
        ips, ipam = self._load(call.config, call.args)
        routes = tuple(RouteConfig.from_dict(r) for r in ipam.get("routes", ()))
        return Result((), tuple(ips), routes, Dns.from_dict(ipam.get("dns", {})), call.version)

    def delete(self, call: Call) -> None:
        """Nothing is kept."""

    def check(self, call: Call) -> None:
        """An address that the result has as well has the same gateway there; more it does not look at."""
        ips, _ = self._load(call.config, call.args)
        result = call.prev_result
        if result is None:
            raise _fail("Required prevResult missing")
        for c in ips:
            given = next((g for g in result.ips if g.ip == c.ip), None)
            if given is not None and c.gateway and c.gateway != given.gateway:
                raise _fail(f"static: Failed to match addr {c.ip} on interface {call.ifname}")

    def gc(self, call: Call) -> None:
        """Nothing is kept."""

    def status(self, call: Call) -> None:
        """Always able, with a configuration that it can read."""
        self._load(call.config)
