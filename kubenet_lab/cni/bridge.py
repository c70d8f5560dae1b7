"""The bridge plugin: a bridge on the node, a veth pair per pod.

What it does, in which order, and what it prints is that of containernetworking/plugins (plugins/main/bridge) of the
modelled release; compared with the real program in tests. Options that are newer than it (vlanTrunk,
preserveDefaultVlan, portIsolation, disableContainerInterface, ipMasqBackend) follow the upstream source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import CommandError, NotModelled
from ..kernel.address import prefix
from ..kernel.bridge_vlans import of_port
from ..kernel.links import BridgeOptions, BridgePort, Link, mac_of
from ..kernel.namespace import Namespace
from . import spoof_check
from .contract import Call, args_of
from .decode import BOOL, INT, NETCONF, STRING, ListOf, Struct, decode
from .interface import check_addresses, check_routes, configure_interface, next_ip
from .masquerade import check_backend, masquerade, unmasquerade
from .result import CniError, Dns, Interface, IpConfig, Result, RouteConfig
from .veth import MAX_MTU, MIN_MTU, delete_pair, interface_of, make_pair, veth_name

__all__ = ["Bridge", "BridgeConfig"]

_TRUNK = Struct("main.VlanTrunk", {"minID": INT, "maxID": INT, "id": INT})
SCHEMA = Struct(
    "main.NetConf",
    NETCONF
    | {
        "bridge": STRING, "isGateway": BOOL, "isDefaultGateway": BOOL, "forceAddress": BOOL, "ipMasq": BOOL, "ipMasqBackend": STRING,
        "mtu": INT, "hairpinMode": BOOL, "promiscMode": BOOL, "vlan": INT, "vlanTrunk": ListOf(_TRUNK, pointers=True),
        "preserveDefaultVlan": BOOL, "macspoofchk": BOOL, "enabledad": BOOL, "disableContainerInterface": BOOL, "portIsolation": BOOL,
        "args": Struct("", {"cni": Struct("main.BridgeArgs", {"mac": STRING})}), "runtimeConfig": Struct("", {"mac": STRING}),
    },
)  # fmt: skip


NO_MAC = "00:00:00:00:00:00"
_MASK16 = "00000000000000000000ffff00000000"


def _fail(message: str) -> CniError:
    return CniError(999, message)


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
    vlan: int = 0
    vlans: tuple[int, ...] = ()  # of vlanTrunk
    has_trunk: bool = False  # vlanTrunk is there, if only as an empty list
    preserve_default_vlan: bool = True
    port_isolation: bool = False
    enable_dad: bool = False
    no_container_interface: bool = False
    mac: str = ""
    ipam: str = ""  # type of the IPAM plugin; "" is a layer-2 network
    mac_spoof_check: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any], args: str = "") -> BridgeConfig:
        c = decode(config, SCHEMA, "failed to load netconf: ")
        vlan = c.get("vlan", 0)
        if not 0 <= vlan <= 4094:
            raise _fail(f"invalid VLAN ID {vlan} (must be between 0 and 4094)")
        vlans = trunk_ids(c.get("vlanTrunk", ()))
        if vlan and vlans:
            raise _fail("cannot set vlan and vlanTrunk at the same time")
        mac = args_of(args, ("MAC",)).get("MAC", "")
        mac = c.get("args", {}).get("cni", {}).get("mac", "") or mac
        mac = c.get("runtimeConfig", {}).get("mac", "") or mac
        check_backend(c)
        default = c.get("isDefaultGateway", False)
        return cls(
            c.get("bridge") or "cni0", c.get("isGateway", False) or default, default, c.get("forceAddress", False), c.get("ipMasq", False),
            c.get("mtu", 0), c.get("hairpinMode", False), c.get("promiscMode", False), vlan, vlans, "vlanTrunk" in c,
            c.get("preserveDefaultVlan", True),
            c.get("portIsolation", False), c.get("enabledad", False), c.get("disableContainerInterface", False), mac,
            c.get("ipam", {}).get("type", ""), c.get("macspoofchk", False),
        )  # fmt: skip


def trunk_ids(trunk: Any) -> tuple[int, ...]:
    """The VLANs of vlanTrunk, in order. Raises CniError."""
    out: set[int] = set()
    for item in trunk:
        item = item or {}
        low, high = item.get("minID"), item.get("maxID")
        if low is not None and high is not None:
            for name, value in (("minID", low), ("maxID", high)):
                if not 0 < value <= 4094:
                    raise _fail(f"incorrect trunk {name} parameter")
            if high < low:
                raise _fail("minID is greater than maxID in trunk parameter")
            out |= set(range(low, high + 1))
        elif low is not None or high is not None:
            missing = "maxID" if high is None else "minID"
            raise _fail(f"minID and maxID should be configured simultaneously, {missing} is missing")
        if (one := item.get("id")) is not None:
            if not 0 < one <= 4094:
                raise _fail("incorrect trunk id parameter")
            out.add(one)
    return tuple(sorted(out))


class Bridge:
    """The plugin. Type "bridge"."""

    type = "bridge"
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses before it touches anything. Raises CniError."""
        self._load(config)

    @staticmethod
    def _load(config: Mapping[str, Any], args: str = "") -> BridgeConfig:
        conf = BridgeConfig.of(config, args)
        if conf.ipam and conf.no_container_interface:
            raise _fail("cannot use IPAM when DisableContainerInterface flag is set")
        if conf.hairpin_mode and conf.promisc_mode:
            raise _fail("cannot set hairpin mode and promiscuous mode at the same time.")
        return conf

    def add(self, call: Call) -> Result:
        conf, node = self._load(call.config, call.args), call.host.node
        try:
            own_mac = self._ensure_bridge(node, conf).mac
        except CniError as e:
            raise _fail(f'failed to create bridge "{conf.bridge}": {e.msg}') from None
        pod = call.host.netns(call.netns)
        port = of_port(BridgePort(conf.hairpin_mode, conf.port_isolation), conf.vlan, conf.vlans, conf.preserve_default_vlan)
        host_name = make_pair(call, pod, conf.mtu, conf.mac, master=conf.bridge, port=port)
        interfaces = [Interface(conf.bridge), interface_of(node.link(host_name)), interface_of(pod.link(call.ifname), call.sandbox)]
        result = Result(tuple(interfaces), cni_version=call.version)
        if conf.mac_spoof_check:
            spoof_check.setup(call, host_name, pod.link(call.ifname).mac, pod.origin)
        if conf.ipam:
            try:
                result = self._configure(call, node, pod, conf, own_mac, result)
            except (CniError, CommandError, NotModelled):
                spoof_check.teardown(call)
                raise
        elif not conf.no_container_interface:
            pod.set_link(call.ifname, up=True)
        interfaces[0] = interface_of(node.link(conf.bridge))
        # the list's own DNS settings, else those of the IPAM plugin (which the modelled release forgot: fixed in 1.2.0)
        dns = Dns.from_dict(call.config.get("dns") or {})
        return replace(result, interfaces=(*interfaces, *result.interfaces[3:]), dns=dns or result.dns)

    # ---------------------------------------------------------------------------------------------------- ADD
    def _ensure_bridge(self, node: Namespace, conf: BridgeConfig) -> Link:
        link = node.links.get(conf.bridge)
        if len(conf.bridge) > 15:
            raise _fail(f'could not add "{conf.bridge}": numerical result out of range')
        if link is None:
            if conf.mtu > 0 and not MIN_MTU <= conf.mtu <= MAX_MTU:
                raise _fail(f'could not add "{conf.bridge}": invalid argument')
            options = BridgeOptions(vlan_filtering=bool(conf.vlan or conf.has_trunk))
            link = node.add_link(conf.bridge, "bridge", mtu=conf.mtu if conf.mtu > 0 else 1500, up=False, bridge=options)
        if conf.promisc_mode and not link.promisc:
            link = node.set_link(conf.bridge, promisc=True)
        if link.kind != "bridge":
            raise _fail(f'"{conf.bridge}" already exists but is not a bridge')
        node.set_sysctl(f"net.ipv6.conf.{conf.bridge}.accept_ra", 0)
        return link if link.up else node.set_link(conf.bridge, up=True)

    def _configure(self, call: Call, node: Namespace, pod: Namespace, conf: BridgeConfig, own_mac: str, result: Result) -> Result:
        """Addresses by the IPAM plugin, routes in the pod, the gateway on the bridge. A failure releases the addresses again;
        the pair stays, until DEL."""
        ipam = call.host.plugin(conf.ipam)
        given = ipam.add(call)
        try:
            if not given.ips:
                raise _fail("IPAM plugin returned missing IP config")
            result = self._gateways(replace(given, interfaces=result.interfaces, cni_version=call.version), conf)
            dad = {"enhanced_dad": 1, "accept_dad": 1} if conf.enable_dad else {"accept_dad": 0}
            for key, value in dad.items():
                pod.set_sysctl(f"net.ipv6.conf.{call.ifname}.{key}", value)
            pod.set_sysctl(f"net.ipv4.conf.{call.ifname}.arp_notify", 1)
            try:
                configure_interface(pod, call.ifname, result)
            except CniError as e:
                # a default route of the plugin's own making carries its mask in 16 bytes
                defaults = [r.gw for r in given.routes if r.dst == "0.0.0.0/0"]
                own = conf.is_default_gateway and not any(defaults) and (not defaults or e.msg.endswith("file exists"))
                raise CniError(e.code, e.msg.replace("{0.0.0.0 00000000}", f"{{0.0.0.0 {_MASK16}}}") if own else e.msg) from None
            if conf.is_gateway:
                for fam in (4, 6):
                    for c in result.ips:
                        if c.family == fam and conf.vlan:
                            result = self._vlan_gateway(node, conf, c, result)
                        elif c.family == fam:
                            self._ensure_address(node, conf.bridge, conf, c, own_mac)
                    if any(c.family == fam for c in result.ips):
                        node.set_sysctl("net.ipv4.ip_forward" if fam == 4 else "net.ipv6.conf.all.forwarding", 1)
            if conf.ip_masq:
                masquerade(call, [c.address for c in result.ips], pod.origin)
        except (CniError, CommandError, NotModelled):
            ipam.delete(call)
            raise
        return result

    @staticmethod
    def _gateways(result: Result, conf: BridgeConfig) -> Result:
        """Every address is the container interface's (index 2) and has a gateway if the bridge is one; the default route."""
        ips, routes = [], list(result.routes)
        done: set[int] = set()
        for c in result.ips:
            gateway = c.gateway or (next_ip(c.address) if conf.is_gateway else "")
            ips.append(IpConfig(c.address, gateway, 2))
            if conf.is_default_gateway and c.family not in done:
                default = "0.0.0.0/0" if c.family == 4 else "::/0"
                if not any(r.gw and r.dst == default for r in routes):
                    routes.append(RouteConfig(default, gateway))
                done.add(c.family)
        return replace(result, ips=tuple(ips), routes=tuple(routes))

    def _vlan_gateway(self, node: Namespace, conf: BridgeConfig, c: IpConfig, result: Result) -> Result:
        """The gateway of a VLAN is no address of the bridge but of `cni0.100`: one end of a pair whose other end is a port in that VLAN."""
        name = f"{conf.bridge}.{conf.vlan}"
        if len(name) > 15:
            raise _fail(f'failed to create vlan interface: faild to create vlan gateway "{name}": numerical result out of range')
        if name not in node.links:
            bridge = node.link(conf.bridge)
            end = veth_name(f"{node.id}/{name}", "vlan")
            port = of_port(BridgePort(), conf.vlan, (), conf.preserve_default_vlan)
            # the kernel makes the peer first
            node.add_link(end, "veth", mac=mac_of(f"{node.id}/{end}"), mtu=bridge.mtu, peer=(node.id, name), master=conf.bridge, port=port)
            node.add_link(name, "veth", mac=mac_of(f"{node.id}/{name}"), mtu=bridge.mtu, peer=(node.id, end))
            node.set_sysctl(f"net.ipv6.conf.{end}.accept_ra", 0)
        link = node.link(name)
        self._ensure_address(node, name, conf, c, link.mac)
        listed = any(i.name == name and not i.sandbox for i in result.interfaces[3:])
        return result if listed else replace(result, interfaces=(*result.interfaces, interface_of(link)))

    @staticmethod
    def _ensure_address(node: Namespace, name: str, conf: BridgeConfig, c: IpConfig, own_mac: str) -> None:
        """The gateway's address on the bridge (or its VLAN's interface). Another IPv4 address there is an error without forceAddress."""
        what = "bridge addr" if name == conf.bridge else "vlan interface for bridge with addr"
        wanted = f"{c.gateway}/{prefix(c.address).length}"
        for a in node.link(name).addresses:
            if a.family != c.family:
                continue
            if str(a) == wanted:
                return
            overlap = prefix(str(a)).covers(prefix(wanted)) or prefix(wanted).covers(prefix(str(a)))
            if c.family == 4 or overlap:
                if not conf.force_address:
                    raise _fail(f'failed to set {what}: "{name}" already has an IP address different from {wanted}')
                node.remove_address(name, str(a))
        node.add_address(name, wanted)
        if own_mac == NO_MAC:  # it had ports once, and has had none since: the kernel took its MAC away with the last one
            raise _fail(f"failed to set {what}: could not set bridge's mac: invalid argument")
        # the MAC from before the pair was added, so that it stays when ports come and go
        node.set_link(name, mac=own_mac)

    # -------------------------------------------------------------------------------------------- DEL and CHECK
    def delete(self, call: Call) -> None:
        """Remove the pair, release the addresses, remove the masquerading; what is gone already is no error."""
        conf = BridgeConfig.of(call.config, call.args)
        addresses = delete_pair(call)
        if conf.ipam:
            call.host.plugin(conf.ipam).delete(call)
        if conf.mac_spoof_check:
            spoof_check.teardown(call)
        if conf.ipam and conf.ip_masq:
            unmasquerade(call, addresses)

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
        check_addresses(pod, call.ifname, result)
        check_routes(pod, result)

    def gc(self, call: Call) -> None:
        ipam = str((call.config.get("ipam") or {}).get("type") or "")
        if ipam:
            call.host.plugin(ipam).gc(call)

    def status(self, call: Call) -> None:
        ipam = str((call.config.get("ipam") or {}).get("type") or "")
        if ipam:
            call.host.plugin(ipam).status(call)
