"""The bridge plugin: a bridge on the node, a veth pair per pod.

What it does, in which order, and what it prints is that of containernetworking/plugins (plugins/main/bridge,
pkg/ip, pkg/ipam) of the modelled release; compared with the real program in tests.
Names and MAC addresses that a real node draws at random are hashes here: the host end of a pair is veth + 8 hex
digits of container and interface.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import CommandError, NotModelled
from ..kernel.address import family, prefix
from ..kernel.links import BridgePort, Link, mac_of
from ..kernel.namespace import Namespace
from .contract import Call, args_of
from .result import CniError, Dns, Interface, IpConfig, Result, RouteConfig
from .rules import RuleStep, append, chain_name, comment_of, new_chain

__all__ = ["Bridge", "BridgeConfig", "masquerade_steps", "masquerade_teardown", "veth_name"]


def _fail(message: str) -> CniError:
    return CniError(999, message)


def veth_name(container_id: str, ifname: str) -> str:
    """The host end's name: "veth" and 8 hex digits."""
    return "veth" + hashlib.sha256(f"{container_id}/{ifname}".encode()).hexdigest()[:8]


def _cidr_text(address: str) -> str:
    """ "10.1.0.1/24" -> the network's own text."""
    return str(prefix(address))


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """The plugin's configuration with its defaults; `of` refuses what the plugin refuses."""

    bridge: str = "cni0"
    is_gateway: bool = False
    is_default_gateway: bool = False
    force_address: bool = False
    ip_masq: bool = False
    mtu: int = 0
    hairpin_mode: bool = False
    promisc_mode: bool = False
    port_isolation: bool = False
    mac: str = ""
    ipam: str = ""  # type of the IPAM plugin; "" is a layer-2 network

    @classmethod
    def of(cls, config: Mapping[str, Any], args: str = "") -> BridgeConfig:
        vlan = config.get("vlan") or 0
        if not 0 <= vlan <= 4094:
            raise _fail(f"invalid VLAN ID {vlan} (must be between 0 and 4094)")
        for key in ("vlan", "vlanTrunk", "macspoofchk", "disableContainerInterface"):
            if config.get(key):
                raise NotModelled(f"bridge plugin option {key}")
        if config.get("ipMasq") and config.get("ipMasqBackend", "iptables") != "iptables":
            raise NotModelled(f"bridge plugin ipMasqBackend {config['ipMasqBackend']}")
        mac = args_of(args, ("MAC",)).get("MAC", "")
        mac = str(((config.get("args") or {}).get("cni") or {}).get("mac") or mac)
        mac = str((config.get("runtimeConfig") or {}).get("mac") or mac)
        default = bool(config.get("isDefaultGateway"))
        return cls(
            str(config.get("bridge") or "cni0"), bool(config.get("isGateway")) or default, default, bool(config.get("forceAddress")),
            bool(config.get("ipMasq")), int(config.get("mtu") or 0), bool(config.get("hairpinMode")), bool(config.get("promiscMode")),
            bool(config.get("portIsolation")), mac.lower(), str((config.get("ipam") or {}).get("type") or ""),
        )  # fmt: skip


def masquerade_steps(address: str, chain: str, comment: str, origin: str = "") -> list[RuleStep]:
    """ipMasq for one address (CIDR): its own subnet goes out as it is, multicast too, the rest is masqueraded.

    Source: containernetworking/plugins pkg/ip/ipmasq_iptables_linux.go.
    """
    fam = prefix(address).family
    note = ("-m", "comment", "--comment", comment)
    multicast = "224.0.0.0/4" if fam == 4 else "ff00::/8"
    ip = address.partition("/")[0]
    return [
        new_chain("nat", chain, fam, origin),
        append("nat", chain, "-d", _cidr_text(address), *note, "-j", "ACCEPT", family=fam, origin=origin),
        append("nat", chain, "!", "-d", multicast, *note, "-j", "MASQUERADE", family=fam, origin=origin),
        append("nat", "POSTROUTING", "-s", ip, *note, "-j", chain, family=fam, origin=origin),
    ]


def masquerade_teardown(address: str, chain: str, comment: str) -> list[RuleStep]:
    fam = prefix(address).family
    jump = ("-s", address.partition("/")[0], "-m", "comment", "--comment", comment, "-j", chain)
    return [RuleStep("nat", "-D", "POSTROUTING", jump, fam), RuleStep("nat", "-F", chain, (), fam), RuleStep("nat", "-X", chain, (), fam)]


class Bridge:
    """The plugin. Type "bridge"."""

    type = "bridge"

    def add(self, call: Call) -> Result:
        conf = BridgeConfig.of(call.config, call.args)
        if conf.hairpin_mode and conf.promisc_mode:
            raise _fail("cannot set hairpin mode and promiscuous mode at the same time.")
        node = call.host.node
        try:
            own_mac = self._ensure_bridge(node, conf).mac
        except CniError as e:
            raise _fail(f'failed to create bridge "{conf.bridge}": {e.msg}') from None
        pod = call.host.netns(call.netns)
        host_name = self._pair(call, node, pod, conf)
        result = Result(cni_version=call.version)
        if conf.ipam:
            result = self._configure(call, node, pod, conf, own_mac)
        interfaces = (
            Interface(conf.bridge, node.link(conf.bridge).mac),
            Interface(host_name, node.link(host_name).mac),
            Interface(call.ifname, pod.link(call.ifname).mac, sandbox=call.sandbox),
        )
        dns = Dns.from_dict(call.config.get("dns") or {})
        return replace(result, interfaces=interfaces, dns=dns or result.dns)

    # ---------------------------------------------------------------------------------------------------- ADD
    def _ensure_bridge(self, node: Namespace, conf: BridgeConfig) -> Link:
        link = node.links.get(conf.bridge)
        if link is None:
            link = node.add_link(conf.bridge, "bridge", mtu=conf.mtu or 1500)
        elif link.kind != "bridge":
            raise _fail(f'"{conf.bridge}" already exists but is not a bridge')
        if conf.promisc_mode and not link.promisc:
            link = node.set_link(conf.bridge, promisc=True)
        return link if link.up else node.set_link(conf.bridge, up=True)

    def _pair(self, call: Call, node: Namespace, pod: Namespace, conf: BridgeConfig) -> str:
        """The veth pair, its host end on the bridge; gives the host end's name."""
        if call.ifname in pod.links:
            raise _fail(f"container veth name provided ({call.ifname}) already exists")
        name, n = veth_name(call.container_id, call.ifname), 0
        while name in node.links:
            name, n = veth_name(f"{call.container_id}#{n}", call.ifname), n + 1
        mtu = conf.mtu or 1500
        pod.add_link(
            call.ifname,
            "veth",
            mac=conf.mac or mac_of(f"{call.container_id}/{call.ifname}"),
            mtu=mtu,
            peer=(node.id, name),
            origin=pod.origin,
        )
        port = BridgePort(hairpin=conf.hairpin_mode, isolated=conf.port_isolation)
        node.add_link(
            name,
            "veth",
            mac=mac_of(f"{node.id}/{name}"),
            mtu=mtu,
            peer=(pod.id, call.ifname),
            master=conf.bridge,
            port=port,
            origin=pod.origin,
        )
        self._adjust(node, conf.bridge)
        return name

    @staticmethod
    def _adjust(node: Namespace, bridge: str) -> None:
        """What a bridge takes from its ports: the smallest MTU (1500 without ports), and the lowest MAC until one is set.

        Source: Linux net/bridge/br_if.c br_mtu_auto_adjust, br_stp_if.c br_stp_recalculate_bridge_id. The plugin sets the MAC
        together with the first address, so a bridge with an address keeps it.
        """
        link, ports = node.link(bridge), node.ports(bridge)
        mtu = min((p.mtu for p in ports), default=1500)
        mac = link.mac if link.addresses else min((p.mac for p in ports), default="00:00:00:00:00:00")
        if (mtu, mac) != (link.mtu, link.mac):
            node.set_link(bridge, mtu=mtu, mac=mac)

    def _configure(self, call: Call, node: Namespace, pod: Namespace, conf: BridgeConfig, own_mac: str) -> Result:
        """Addresses by the IPAM plugin, routes in the pod, the gateway on the bridge. A failure releases the addresses again;
        the pair stays, until DEL."""
        ipam = call.host.plugin(conf.ipam)
        given = ipam.add(call)
        try:
            if not given.ips:
                raise _fail("IPAM plugin returned missing IP config")
            result = self._gateways(given, conf)
            pod.set_sysctl(f"net.ipv4.conf.{call.ifname}.arp_notify", 1)
            self._configure_interface(pod, call.ifname, result)
            if conf.is_gateway:
                for fam in (4, 6):
                    for c in result.ips:
                        if c.family == fam:
                            self._ensure_address(node, conf, c, own_mac)
                    if any(c.family == fam for c in result.ips):
                        node.set_sysctl("net.ipv4.ip_forward" if fam == 4 else "net.ipv6.conf.all.forwarding", 1)
            if conf.ip_masq:
                chain, comment = chain_name(call.name, call.container_id), comment_of(call.name, call.container_id)
                call.host.program(s for c in result.ips for s in masquerade_steps(c.address, chain, comment, pod.origin))
        except (CniError, CommandError):
            ipam.delete(call)
            raise
        return result

    @staticmethod
    def _gateways(result: Result, conf: BridgeConfig) -> Result:
        """Every address is the container interface's (index 2) and has a gateway if the bridge is one; the default route."""
        ips, routes = [], list(result.routes)
        done: set[int] = set()
        for c in result.ips:
            gateway = c.gateway
            if not gateway and conf.is_gateway:
                first = prefix(c.address).network + 1
                gateway = str(ipaddress.IPv4Address(first) if c.family == 4 else ipaddress.IPv6Address(first))
            ips.append(IpConfig(c.address, gateway, 2))
            if conf.is_default_gateway and c.family not in done:
                default = "0.0.0.0/0" if c.family == 4 else "::/0"
                if not any(r.gw and r.dst == default for r in routes):
                    routes.append(RouteConfig(default, gateway))
                done.add(c.family)
        return replace(result, ips=tuple(ips), routes=tuple(routes))

    @staticmethod
    def _configure_interface(pod: Namespace, ifname: str, result: Result) -> None:
        """Addresses, then routes; a route without a gateway goes by the first gateway of its family (pkg/ipam ConfigureIface)."""
        gateways: dict[int, str] = {}
        for c in result.ips:
            pod.add_address(ifname, c.address)
            if c.gateway:
                gateways.setdefault(c.family, c.gateway)
        for r in result.routes:
            via = r.gw or gateways.get(prefix(r.dst).family, "")
            try:
                _add_route(pod, ifname, r, via)
            except CommandError as e:
                why = "network is unreachable" if "gateway" in str(e) else "file exists" if "exists" in str(e) else str(e)
                net = _go_net(r.dst).replace("IP:", "").replace("Mask:", "")
                raise _fail(f"failed to add route '{{{net}}} via {via or '<nil>'} dev {ifname}': {why}") from None

    @staticmethod
    def _ensure_address(node: Namespace, conf: BridgeConfig, c: IpConfig, own_mac: str) -> None:
        """The gateway's address on the bridge. Another IPv4 address there is an error unless forceAddress is set."""
        wanted = f"{c.gateway}/{prefix(c.address).length}"
        for a in node.link(conf.bridge).addresses:
            if a.family != c.family:
                continue
            if str(a) == wanted:
                return
            overlap = prefix(str(a)).covers(prefix(wanted)) or prefix(wanted).covers(prefix(str(a)))
            if c.family == 4 or overlap:
                if not conf.force_address:
                    raise _fail(f'failed to set bridge addr: "{conf.bridge}" already has an IP address different from {wanted}')
                node.remove_address(conf.bridge, str(a))
        node.add_address(conf.bridge, wanted)
        # the MAC from before the pair was added, so that it stays when ports come and go
        node.set_link(conf.bridge, mac=own_mac)

    # -------------------------------------------------------------------------------------------- DEL and CHECK
    def delete(self, call: Call) -> None:
        """Remove the pair, release the addresses, remove the masquerading; what is gone already is no error."""
        conf = BridgeConfig.of(call.config, call.args)
        pod = call.host.network.namespaces.get(call.netns)
        addresses: list[str] = []
        if pod is not None and call.ifname in pod.links:
            link = pod.remove_link(call.ifname)
            addresses = [str(a) for a in link.addresses]
            if link.peer and link.peer[0] == call.host.name and link.peer[1] in call.host.node.links:
                call.host.node.remove_link(link.peer[1])
                if conf.bridge in call.host.node.links:
                    self._adjust(call.host.node, conf.bridge)
        if conf.ipam:
            call.host.plugin(conf.ipam).delete(call)
        if conf.ipam and conf.ip_masq:
            chain, comment = chain_name(call.name, call.container_id), comment_of(call.name, call.container_id)
            call.host.program(s for a in addresses for s in masquerade_teardown(a, chain, comment))

    def check(self, call: Call) -> None:
        """Compare the node and the pod with the result of ADD; raises CniError at the first difference."""
        conf = BridgeConfig.of(call.config, call.args)
        pod = call.host.netns(call.netns)
        call.host.plugin(conf.ipam).check(call)
        result = call.prev_result
        if result is None:
            raise _fail("Required prevResult missing")
        node = call.host.node
        container = next((i for i in result.interfaces if i.name == call.ifname and i.sandbox == call.sandbox), Interface(""))
        bridge = next((i for i in result.interfaces if i.name == conf.bridge), Interface(""))
        if not bridge.name:
            raise _fail("Interface name missing ")
        link = node.links.get(bridge.name)
        if link is None:
            raise _fail(f"Interface name {bridge.name} not found")
        if link.kind != "bridge":
            raise _fail(f"Interface {bridge.name} does not have link type of bridge")
        if bridge.mac and bridge.mac != link.mac:
            raise _fail(f"Bridge interface {bridge.name} Mac doesn't match: {bridge.mac}")
        if link.promisc != conf.promisc_mode:
            want, got = str(conf.promisc_mode).lower(), str(link.promisc).lower()
            raise _fail(f"Bridge interface {bridge.name} configured Promisc Mode {want} doesn't match current state: {got} ")
        if call.sandbox != container.sandbox:
            raise _fail(f"Sandbox in prevResult {container.sandbox} doesn't match configured netns: {call.sandbox}")
        inside = pod.links.get(container.name)
        if inside is None:
            raise _fail(f"Interface name {container.name} not found")
        if inside.kind != "veth":
            raise _fail(f"Error: Container interface {container.name} not of type veth")
        if container.mac and container.mac != inside.mac:
            raise _fail(f"Interface {container.name} Mac {container.mac} doesn't match container Mac: {inside.mac}")
        found = False
        for i in result.interfaces:
            if i.name in (conf.bridge, container.name):
                continue
            end = node.links.get(i.name)
            if end is None:
                raise _fail(f"Interface name {i.name} not found")
            if end.kind == "veth" and inside.peer == (node.id, end.name) and end.master == conf.bridge:
                if i.mac and i.mac != end.mac:
                    raise _fail(f"Interface {i.name} Mac doesn't match: {i.mac} not found")
                found = True
                break
        if not found:
            raise _fail(f"CNI veth created for bridge {conf.bridge} was not found")
        self._check_addresses(pod, call.ifname, result)

    @staticmethod
    def _check_addresses(pod: Namespace, ifname: str, result: Result) -> None:
        have = {str(a) for a in pod.link(ifname).addresses}
        for c in result.ips:
            if c.address not in have:
                raise _fail(f"Failed to match addr {c.address} on interface {ifname}")
        for r in result.routes:
            wanted = _cidr_text(r.dst)
            # the library compares the gateway of all but default routes, so a route that was given without one is never found
            if not any(k.dst == wanted and (k.default or k.via == r.gw) and k.table == 254 for k in pod.routes):
                raise _fail(f"Expected Route {{Dst:{{{_go_net(r.dst)}}} GW:{r.gw or '<nil>'}}} not found in routing table")

    def gc(self, call: Call) -> None:
        ipam = str((call.config.get("ipam") or {}).get("type") or "")
        if ipam:
            call.host.plugin(ipam).gc(call)

    def status(self, call: Call) -> None:
        ipam = str((call.config.get("ipam") or {}).get("type") or "")
        if ipam:
            call.host.plugin(ipam).status(call)


def _add_route(pod: Namespace, ifname: str, r: RouteConfig, via: str) -> None:
    """The plugins add routes without NLM_F_EXCL: beside an IPv4 route to the same place by another way the new one is put first."""
    dst, table, metric = _cidr_text(r.dst), r.table or 254, r.priority or None
    same = [k for k in pod.routes if k.key == (dst, metric or (0 if family(dst) == 4 else 1024), table)]
    if same and family(dst) == 6:
        raise NotModelled(f"two IPv6 routes to {dst} in one pod: the kernel makes them one route with two next hops")
    if any((k.dev, k.via) == (ifname, via) for k in same):
        raise CommandError("RTNETLINK answers: File exists")
    at = min((pod.routes.index(k) for k in same), default=-1)
    pod.routes = [k for k in pod.routes if k not in same]
    try:
        pod.add_route(dst, dev=ifname, via=via, scope="global", mtu=r.mtu, table=table, metric=metric, origin=pod.origin)
    finally:
        if same:
            new = [k for k in pod.routes if k.key == same[0].key]
            rest = [k for k in pod.routes if k not in new]
            pod.routes = [*rest[:at], *new, *same, *rest[at:]]
            pod.set_link(ifname)  # routes changed


def _go_net(cidr: str) -> str:
    """A network as the library's messages print it: IP and mask in hex."""
    p = prefix(cidr)
    return f"IP:{p.text.partition('/')[0]} Mask:{p.mask:0{p.bits // 4}x}"
