"""The ptp plugin: a veth pair per pod and no bridge; everything that a pod sends goes by the node.

Source: containernetworking/plugins plugins/main/ptp. In the pod the route to its own subnet is replaced: the gateway is
reached directly, the subnet by the gateway. On the node the host end has the gateway's address, and a route of 32 bits leads
to the pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..errors import CommandError, NotModelled
from ..kernel.address import host_prefix, prefix
from ..kernel.namespace import Namespace
from .contract import Call
from .decode import BOOL, INT, NETCONF, STRING, Struct, decode
from .interface import check_addresses, check_routes, configure_interface, errno_of
from .masquerade import check_backend, masquerade, unmasquerade
from .result import CniError, Dns, Interface, IpConfig, Result
from .veth import delete_pair, interface_of, make_pair

__all__ = ["PointToPoint"]

SCHEMA = Struct("main.NetConf", NETCONF | {"ipMasq": BOOL, "ipMasqBackend": STRING, "mtu": INT})


def _fail(message: str) -> CniError:
    return CniError(999, message)


class PointToPoint:
    """The plugin. Type "ptp"."""

    type = "ptp"
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses before it touches anything. Raises CniError."""
        self._load(config)

    @staticmethod
    def _load(config: Mapping[str, Any]) -> dict[str, Any]:
        conf = decode(config, SCHEMA, "failed to load netconf: ")
        check_backend(conf)
        return conf

    def add(self, call: Call) -> Result:
        conf = self._load(call.config)
        ipam = call.host.plugin(conf.get("ipam", {}).get("type", ""))
        given = ipam.add(call)
        try:
            return self._set_up(call, conf, given)
        except (CniError, CommandError, NotModelled):
            if given.ips:
                ipam.delete(call)
            raise

    def _set_up(self, call: Call, conf: Mapping[str, Any], given: Result) -> Result:
        node = call.host.node
        if not given.ips:
            raise _fail("IPAM plugin returned missing IP config")
        if any(not c.gateway for c in given.ips):
            raise NotModelled("ptp with an address that has no gateway")
        for c in given.ips:
            node.set_sysctl("net.ipv4.ip_forward" if c.family == 4 else "net.ipv6.conf.all.forwarding", 1)
        pod = call.host.netns(call.netns)
        name = make_pair(call, pod, conf.get("mtu", 0))
        interfaces = (interface_of(node.link(name)), interface_of(pod.link(call.ifname), call.sandbox))
        ips = tuple(IpConfig(c.address, c.gateway, 1) for c in given.ips)
        result = replace(given, interfaces=interfaces, ips=ips, cni_version=call.version)
        configure_interface(pod, call.ifname, result)
        for c in ips:
            self._redirect(pod, call.ifname, c)
        for c in ips:
            bits = 32 if c.family == 4 else 128
            try:
                node.add_address(name, f"{c.gateway}/{bits}")
            except CommandError:
                raise _fail(f"failed to add IP addr ({c.gateway}/{bits}) to veth: file exists") from None
            try:
                node.add_route(c.ip, dev=name, scope="host", origin=pod.origin)
            except CommandError as e:
                if "exists" not in str(e):
                    raise _fail(f"failed to add route on host: {e}") from None
        if conf.get("ipMasq"):
            masquerade(call, [c.address for c in ips], pod.origin)
        dns = Dns.from_dict(conf.get("dns", {}))
        return replace(result, dns=dns or result.dns)

    @staticmethod
    def _redirect(pod: Namespace, ifname: str, c: IpConfig) -> None:
        """What the kernel made of the address, "the whole subnet is here", becomes "the gateway is here, and the subnet behind it"."""
        net, index = str(prefix(c.address)), pod.link(ifname).index

        def shown(dst: str, src: str = "<nil>", gw: str = "<nil>") -> str:
            """A route as the netlink library prints it."""
            return f"{{Ifindex: {index} Dst: {dst} Src: {src} Gw: {gw} Flags: [] Table: 0 Realm: 0}}"

        try:
            pod.remove_route(net, dev=ifname)
        except CommandError:
            raise _fail(f"failed to delete route {shown(net)}: no such process") from None
        try:
            pod.add_route(c.gateway, dev=ifname, scope="link", src=c.ip, origin=pod.origin)
        except CommandError as e:
            raise _fail(f"failed to add route {shown(str(host_prefix(c.gateway)), c.ip)}: {errno_of(str(e))}") from None
        try:
            pod.add_route(net, dev=ifname, via=c.gateway, src=c.ip, origin=pod.origin)
        except CommandError as e:
            raise _fail(f"failed to add route {shown(net, c.ip, c.gateway)}: {errno_of(str(e))}") from None

    def delete(self, call: Call) -> None:
        """Release the addresses, remove the pair and the masquerading; what is gone already is no error."""
        conf = self._load(call.config)
        call.host.plugin(conf.get("ipam", {}).get("type", "")).delete(call)
        addresses = delete_pair(call)
        trouble: CniError | None = None
        for address in addresses if conf.get("ipMasq") else ():
            try:
                trouble = None
                unmasquerade(call, [address])
            except CniError as e:
                trouble = e  # the others are tried all the same, and the last one counts
        if trouble is not None:
            raise trouble

    def check(self, call: Call) -> None:
        """Compare the pod with the result of ADD; raises CniError at the first difference."""
        conf = self._load(call.config)
        pod = call.host.netns(call.netns)
        call.host.plugin(conf.get("ipam", {}).get("type", "")).check(call)
        result = call.prev_result
        if result is None:
            raise _fail("ptp: Required prevResult missing")
        mine = next((i for i in reversed(result.interfaces) if i.name == call.ifname and i.sandbox == call.sandbox), Interface(""))
        if mine.sandbox != call.sandbox:
            raise _fail(f"Sandbox in prevResult {mine.sandbox} doesn't match configured netns: {call.sandbox}")
        link = pod.links.get(mine.name)
        if link is None:
            raise _fail(f"ptp: Container Interface name in prevResult: {mine.name} not found")
        if link.kind != "veth":
            raise _fail(f"Error: Container interface {mine.name} not of type veth/p2p")
        if mine.mac and mine.mac != link.mac:
            raise _fail(f"ptp: Interface {mine.name} Mac {mine.mac} doesn't match container Mac: {link.mac}")
        check_addresses(pod, call.ifname, result)
        check_routes(pod, result)

    def gc(self, call: Call) -> None:
        """Forwarded to the IPAM plugin."""
        call.host.plugin(self._load(call.config).get("ipam", {}).get("type", "")).gc(call)

    def status(self, call: Call) -> None:
        """As able as its IPAM plugin."""
        call.host.plugin(self._load(call.config).get("ipam", {}).get("type", "")).status(call)
