"""The macvlan plugin: the pod gets a device of its own on the node's NIC, with a hardware address of its own; no bridge, no cable.

Source: containernetworking/plugins plugins/main/macvlan/macvlan.go. Without `ipam` the device is only set up (layer 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from ..errors import CommandError
from ..kernel.links import Link, MacvlanMode
from ..kernel.namespace import Namespace
from ..kernel.stacked import add_macvlan
from .contract import Call, args_of
from .decode import BOOL, INT, NETCONF, STRING, Struct, decode
from .interface import check_addresses, check_routes, configure_interface, in_go, set_device
from .result import CniError, Dns, Interface, IpConfig, Result
from .veth import assignable, parse_mac, veth_name

__all__ = ["Macvlan"]

SCHEMA = Struct(
    "main.NetConf",
    NETCONF
    | {
        "master": STRING, "mode": STRING, "mtu": INT, "mac": STRING, "linkInContainer": BOOL,
        "runtimeConfig": Struct("", {"mac": STRING}),
    },
)  # fmt: skip
MODES = ("bridge", "private", "vepa", "passthru")


def _fail(message: str) -> CniError:
    return CniError(999, message)


class Macvlan:
    """The plugin. Type "macvlan"."""

    type = "macvlan"
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses whatever the node has. Raises CniError."""
        conf = decode(config, SCHEMA, "failed to load netconf: ")
        self._mode(conf)

    @staticmethod
    def _mode(conf: Mapping[str, Any]) -> MacvlanMode:
        mode = conf.get("mode") or "bridge"
        if mode not in MODES:
            raise _fail(f'unknown macvlan mode: "{mode}"')
        return cast(MacvlanMode, mode)

    @staticmethod
    def _load(call: Call) -> tuple[dict[str, Any], Namespace]:
        """The configuration with master and MTU filled in, and the namespace that the master is looked for in. Raises CniError."""
        conf = decode(call.config, SCHEMA, "failed to load netconf: ")
        where = call.host.netns(call.netns) if conf.get("linkInContainer") else call.host.node
        if not conf.get("master"):
            default = next((r for r in where.routes if r.default and r.family == 4 and r.table == 254 and r.dev), None)
            if default is None:
                raise _fail("no default route interface found")
            conf["master"] = default.dev
        master = where.links.get(conf["master"])
        if master is None:
            raise _fail("Link not found")
        mtu = conf.get("mtu") or 0
        if not 0 <= mtu <= master.mtu:
            raise _fail(f"invalid MTU {mtu}, must be [0, master MTU({master.mtu})]")
        mac = args_of(call.args, ("MAC",)).get("MAC", "") or conf.get("mac", "")
        conf["mac"] = conf.get("runtimeConfig", {}).get("mac", "") or mac
        return conf, where

    def add(self, call: Call) -> Result:
        conf, where = self._load(call)
        pod = call.host.netns(call.netns)
        link = self._create(call, conf, where, pod)
        mine = Interface(call.ifname, link.mac, sandbox=call.sandbox)
        ipam_type = conf.get("ipam", {}).get("type", "")
        if ipam_type:
            # a failure from here on leaves the device to DEL: the program's clean-up looks at another `err`
            return self._address(call, conf, pod, mine, ipam_type)
        try:
            set_device(pod, call.ifname, up=True)
        except CniError as e:
            pod.remove_link(call.ifname)
            raise _fail(f'failed to set "{call.ifname}" UP: {e.msg}') from None
        return Result((mine,), dns=Dns.from_dict(conf.get("dns", {})), cni_version=call.version)

    def _create(self, call: Call, conf: Mapping[str, Any], where: Namespace, pod: Namespace) -> Link:
        mode, mac = self._mode(conf), conf["mac"]
        try:
            mac = parse_mac(mac) if mac else ""
        except CniError as e:
            raise _fail(f"invalid args {mac} for MAC addr: {e.msg}") from None
        if mac and not assignable(mac):
            raise _fail("failed to create macvlan: cannot assign requested address")
        taken = call.ifname in pod.links
        name = veth_name(call.container_id, call.ifname) if taken else call.ifname  # made by another name, and then renamed
        try:
            below, mtu = (where, conf["master"]), conf.get("mtu") or 0
            link = add_macvlan(pod, name, below, mode, mtu=mtu, mac=mac, up=False, origin=pod.origin)
        except CommandError as e:
            raise _fail(f"failed to create macvlan: {in_go(e)}") from None
        if taken:
            pod.remove_link(name)
            raise _fail(f'failed to rename macvlan to "{call.ifname}": file exists')
        return link

    @staticmethod
    def _address(call: Call, conf: Mapping[str, Any], pod: Namespace, mine: Interface, ipam_type: str) -> Result:
        ipam = call.host.plugin(ipam_type)
        given = ipam.add(call)
        try:
            if not given.ips:
                raise _fail("IPAM plugin returned missing IP config")
            ips = tuple(IpConfig(c.address, c.gateway, 0) for c in given.ips)
            result = replace(given, interfaces=(mine,), ips=ips, cni_version=call.version)
            pod.set_sysctl(f"net.ipv4.conf.{call.ifname}.arp_notify", 1)
            configure_interface(pod, call.ifname, result)
        except (CniError, CommandError):
            ipam.delete(call)
            raise
        return replace(result, dns=Dns.from_dict(conf.get("dns", {})))

    def delete(self, call: Call) -> None:
        """Release the address, remove the device; what is gone already is no error."""
        conf = decode(call.config, SCHEMA, "failed to load netConf: ")
        if ipam_type := conf.get("ipam", {}).get("type", ""):
            call.host.plugin(ipam_type).delete(call)
        pod = call.host.network.namespaces.get(call.netns)
        if pod is not None and call.ifname in pod.links:
            pod.remove_link(call.ifname)

    def check(self, call: Call) -> None:
        """Compare the pod with the result of ADD; raises CniError at the first difference."""
        conf, _ = self._load(call)
        pod = call.host.netns(call.netns)
        if ipam_type := conf.get("ipam", {}).get("type", ""):
            call.host.plugin(ipam_type).check(call)
        result = call.prev_result
        if result is None:
            raise _fail("Required prevResult missing")
        mine = next((i for i in result.interfaces if i.name == call.ifname and i.sandbox == call.sandbox), Interface(""))
        if mine.sandbox != call.sandbox:
            raise _fail(f"Sandbox in prevResult {mine.sandbox} doesn't match configured netns: {call.sandbox}")
        link = pod.links.get(mine.name)
        if link is None:
            raise _fail(f"Container Interface name in prevResult: {mine.name} not found")
        if link.macvlan is None:
            raise _fail(f"Error: Container interface {mine.name} not of type macvlan")
        if link.macvlan.mode != self._mode(conf):
            raise _fail(f"Container macvlan mode {link.macvlan.mode} does not match expected value: {self._mode(conf)}")
        if mine.mac and mine.mac != link.mac:
            raise _fail(f"Interface {mine.name} Mac {mine.mac} doesn't match container Mac: {link.mac}")
        check_addresses(pod, call.ifname, result)
        check_routes(pod, result)

    def gc(self, call: Call) -> None:
        """Forwarded to the IPAM plugin, if there is one."""
        if ipam_type := call.config.get("ipam", {}).get("type", ""):
            call.host.plugin(ipam_type).gc(call)

    def status(self, call: Call) -> None:
        """As able as its IPAM plugin."""
        if ipam_type := call.config.get("ipam", {}).get("type", ""):
            call.host.plugin(ipam_type).status(call)
