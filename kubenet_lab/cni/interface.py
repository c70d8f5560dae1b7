"""A pod's interface gets what the IPAM plugin gave: addresses, routes; and is compared with it again by CHECK.

Source: containernetworking/plugins pkg/ipam/ipam_linux.go (ConfigureIface), pkg/ip/utils_linux.go (ValidateExpectedInterfaceIPs,
ValidateExpectedRoute).
"""

from __future__ import annotations

import ipaddress
from typing import Any

from ..errors import CommandError, NotModelled
from ..kernel.address import family, number, prefix
from ..kernel.namespace import Namespace
from .result import CniError, Result, RouteConfig

__all__ = ["add_route", "check_addresses", "check_routes", "configure_interface", "errno_of", "go_net", "in_go", "next_ip", "set_device"]


def configure_interface(pod: Namespace, ifname: str, result: Result) -> None:
    """Addresses, then up, then routes; a route without a gateway goes by the first gateway of its family. Raises CniError."""
    if not result.interfaces:
        raise CniError(999, "no interfaces to configure")
    gateways: dict[int, str] = {}
    for c in result.ips:
        if c.interface is None:
            continue
        if not 0 <= c.interface < len(result.interfaces) or result.interfaces[c.interface].name != ifname:
            raise CniError(999, f'failed to add IP addr {c.address} to "{ifname}": invalid interface index')
        if c.family == 6:
            for dev in ("lo", ifname):
                if pod.sysctl(f"net.ipv6.conf.{dev}.disable_ipv6"):
                    pod.set_sysctl(f"net.ipv6.conf.{dev}.disable_ipv6", 0)
        try:
            pod.add_address(ifname, c.address)
        except CommandError:
            raise CniError(999, f'failed to add IP addr {_go_ip_config(c.address)} to "{ifname}": file exists') from None
        if c.gateway:
            gateways.setdefault(family(c.gateway), c.gateway)
    if not pod.link(ifname).up:
        try:
            set_device(pod, ifname, up=True)
        except CniError as e:
            raise CniError(999, f'failed to set "{ifname}" UP: {e.msg}') from None
    for r in result.routes:
        via = r.gw or gateways.get(prefix(r.dst).family, "")
        try:
            add_route(pod, ifname, r, via)
        except CommandError as e:
            net = go_net(r.dst).replace("IP:", "").replace("Mask:", "")
            raise CniError(999, f"failed to add route '{{{net}}} via {via or '<nil>'} dev {ifname}': {errno_of(str(e))}") from None


def set_device(pod: Namespace, ifname: str, **changes: Any) -> None:
    """Change a device (as `Namespace.set_link`). Raises CniError with the kernel's refusal in Go's words."""
    try:
        pod.set_link(ifname, **changes)
    except CommandError as e:
        raise CniError(999, in_go(e)) from None


def in_go(e: CommandError) -> str:
    """What netlink refuses, as Go prints the error number; where `ip` prints the kernel's own words, the number is EINVAL."""
    return "invalid argument" if str(e).startswith("Error: ") else str(e).removeprefix("RTNETLINK answers: ").lower()


def errno_of(message: str) -> str:
    """The kernel's refusal of a route in Go's words."""
    if "local address" in message:
        return "invalid argument"
    if "gateway" in message:
        return "network is unreachable" if "Nexthop" in message else "no route to host"
    return "file exists" if "exists" in message else "invalid argument" if "Invalid prefix" in message else message


def add_route(pod: Namespace, ifname: str, r: RouteConfig, via: str) -> None:
    """The plugins add routes without NLM_F_EXCL: beside an IPv4 route to the same place by another way the new one is put first."""
    p = prefix(r.dst)
    if p.family == 4 and number(p.address) != p.network:
        raise CommandError("Error: Invalid prefix for given prefix length.")
    dst, table, metric = str(p), r.table or 254, r.priority or None
    same = [k for k in pod.routes if k.key == (dst, metric or (0 if family(dst) == 4 else 1024), table)]
    if same and family(dst) == 6:
        raise NotModelled(f"two IPv6 routes to {dst} in one pod: the kernel makes them one route with two next hops")
    if any((k.dev, k.via) == (ifname, via) for k in same):
        raise CommandError("RTNETLINK answers: File exists")
    at = min((pod.routes.index(k) for k in same), default=-1)
    pod.routes = [k for k in pod.routes if k not in same]
    try:
        pod.add_route(
            dst, dev=ifname, via=via, scope="global", mtu=r.mtu, advmss=r.advmss, table=table, metric=metric, origin=pod.origin
        )
    finally:
        if same:
            new = [k for k in pod.routes if k.key == same[0].key]
            rest = [k for k in pod.routes if k not in new]
            pod.routes = [*rest[:at], *new, *same, *rest[at:]]
            pod.set_link(ifname)  # routes changed


def check_addresses(pod: Namespace, ifname: str, result: Result) -> None:
    """Every address of the result is on the interface, its network in the table (ValidateExpectedInterfaceIPs). Raises CniError."""
    have = {str(a) for a in pod.link(ifname).addresses}
    for c in result.ips:
        if c.address not in have:
            raise CniError(999, f"Failed to match addr {c.address} on interface {ifname}")
        if not any(r.dst == str(prefix(c.address)) and r.table == 254 for r in pod.routes):
            raise CniError(999, f"Failed to find Gateway {c.gateway or '<nil>'} for interface {ifname}")


def check_routes(pod: Namespace, result: Result) -> None:
    """Every route of the result is in the table. Raises CniError."""
    for r in result.routes:
        wanted = str(prefix(r.dst))
        # the library compares the gateway of all but default routes, so a route that was given without one is never found
        if not any(k.dst == wanted and (k.default or k.via == r.gw) and k.table == 254 for k in pod.routes):
            raise CniError(999, f"Expected Route {{Dst:{{{go_net(r.dst)}}} GW:{r.gw or '<nil>'}}} not found in routing table")


def go_net(cidr: str) -> str:
    """A network as the library's messages print it: IP and mask in hex."""
    p = prefix(cidr)
    return f"IP:{p.address} Mask:{p.mask:0{p.bits // 4}x}"


def _go_ip_config(address: str) -> str:
    return address


def next_ip(address: str, steps: int = 1) -> str:
    """The first address of a CIDR's network, plus `steps`."""
    p = prefix(address)
    return str((ipaddress.IPv4Address if p.family == 4 else ipaddress.IPv6Address)(p.network + steps))
