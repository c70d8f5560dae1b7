"""The CNI plugins of Calico: `calico` connects a pod by a routed veth pair, `calico-ipam` gives it addresses.

A pod has a /32 (IPv6: /128) and a gateway that nobody has: 169.254.1.1, for which the node answers by proxy ARP; in IPv6 it is
the link-local address of the node's end. The node's ends all have the MAC address ee:ee:ee:ee:ee:ee.
Sources: projectcalico/calico cni-plugin/pkg/plugin/plugin.go, pkg/k8s/k8s.go, pkg/dataplane/linux/dataplane_linux.go,
pkg/ipamplugin/ipam_plugin.go, libcalico-go/lib/backend/k8s/conversion (VethNameForWorkload).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...errors import CommandError, NotModelled
from ...kernel.address import canonical, family
from ...kernel.namespace import Namespace
from ..contract import Call, args_of
from ..result import CniError, Interface, IpConfig, Result
from .conflist import MTU_FILE, NODENAME_FILE
from .ipam import Datastore, Ipam

__all__ = ["GATEWAY", "GATEWAY6", "MAC", "CalicoIpam", "CalicoPlugin", "link_local", "veth_name"]

MAC = "ee:ee:ee:ee:ee:ee"
GATEWAY = "169.254.1.1"
_ARGS = ("IP", "K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID")

#: annotations of a pod: (namespace, name) -> {key: value}
Annotations = Callable[[str, str], Mapping[str, str]]


def _fail(message: str) -> CniError:
    return CniError(999, message)


def link_local(mac: str) -> str:
    """The link-local address that a kernel makes from a MAC address (RFC 4291, modified EUI-64)."""
    b = bytes.fromhex(mac.replace(":", ""))
    host = bytes([b[0] ^ 2, b[1], b[2], 0xFF, 0xFE, *b[3:]])
    return canonical("fe80::" + ":".join(host[i : i + 2].hex() for i in range(0, 8, 2)))


GATEWAY6 = link_local(MAC)


def veth_name(namespace: str, pod: str, interface_prefix: str = "cali") -> str:
    """The node's end: the prefix and 11 hex digits of the SHA-1 of "namespace.pod"."""
    return interface_prefix + hashlib.sha1(f"{namespace}.{pod}".encode(), usedforsecurity=False).hexdigest()[:11]


def _nodename(call: Call) -> str:
    return str(call.config.get("nodename") or call.host.disk.get(NODENAME_FILE) or call.host.name).strip()


class CalicoIpam:
    """The IPAM plugin. Type "calico-ipam". `store` is what the API server keeps; None: what lies on the node's disk under /registry."""

    type = "calico-ipam"

    def __init__(self, store: Datastore | None = None, now: Callable[[], float] = lambda: 0.0):
        self.store, self.now = store, now

    def ipam(self, call: Call) -> Ipam:
        return Ipam(call.host.disk if self.store is None else self.store, self.now())

    def add(self, call: Call) -> Result:
        args, conf, ipam = args_of(call.args, _ARGS), call.config.get("ipam") or {}, self.ipam(call)
        host, handle = _nodename(call), f"{call.name}.{call.container_id}"
        secondary = {"node": host, **_pod(args)}
        if args.get("IP"):
            try:
                ip = canonical(args["IP"])
            except ValueError:
                raise _fail(f'ARGS: error parsing value of pair "IP={args["IP"]}": invalid IP address: {args["IP"]}') from None
            ipam.assign(ip, host, handle, secondary)
            return Result(ips=(IpConfig(f"{ip}/{32 if family(ip) == 4 else 128}"),), cni_version=call.version)
        wanted = [f for f, on in ((4, str(conf.get("assign_ipv4")) != "false"), (6, str(conf.get("assign_ipv6")) == "true")) if on]
        found: list[IpConfig] = []
        try:
            for fam in wanted:
                ip, block = ipam.auto_assign(host, handle, fam, secondary, self._pools(ipam, conf, fam))
                found.append(IpConfig(f"{ip}/{block.partition('/')[2]}"))
        except CniError:
            ipam.release(handle)  # a pod of two families gets both addresses or none
            raise
        return Result(ips=tuple(found), cni_version=call.version)

    @staticmethod
    def _pools(ipam: Ipam, conf: Mapping[str, Any], fam: int) -> list[str]:
        """ipv4_pools and ipv6_pools name pools by CIDR or by name (utils.ResolvePools)."""
        by_name = {p.name: p.cidr for p in ipam.pools()}
        out = []
        for given in conf.get(f"ipv{fam}_pools") or ():
            try:
                out.append(str(given) if "/" in str(given) else by_name[str(given)])
            except KeyError:
                raise _fail(f"resource does not exist: IPPool({given}) with error: not found") from None
        return out

    def delete(self, call: Call) -> None:
        self.ipam(call).release(f"{call.name}.{call.container_id}")

    def check(self, call: Call) -> None:
        """The real plugin checks nothing."""

    def gc(self, call: Call) -> None:
        """Leaked addresses are collected by calico-kube-controllers."""

    def status(self, call: Call) -> None:
        """Always able, as far as the plugin says."""


def _pod(args: Mapping[str, str]) -> dict[str, str]:
    if not args.get("K8S_POD_NAME"):
        return {}
    return {"namespace": args.get("K8S_POD_NAMESPACE", ""), "pod": args["K8S_POD_NAME"]}


class CalicoPlugin:
    """The main plugin. Type "calico". `annotations` gives those of a pod, which may ask for addresses and pools.

    `interface_prefix` is FELIX_INTERFACEPREFIX.
    """

    type = "calico"

    def __init__(self, interface_prefix: str = "cali", annotations: Annotations = lambda namespace, pod: {}):
        self.interface_prefix, self.annotations = interface_prefix, annotations

    # ----------------------------------------------------------------------------------------------------------- ADD
    def add(self, call: Call) -> Result:
        disk, conf = call.host.disk, call.config
        path = str(conf.get("nodename_file") or NODENAME_FILE)
        if not conf.get("nodename_file_optional") and path not in disk:
            # the message behind every pod that hangs in ContainerCreating while calico-node is not running
            raise _fail(
                f"stat {path}: no such file or directory: check that the calico/node container is running and has mounted /var/lib/calico/"
            )
        mtu = int(conf.get("mtu") or 0) or int(disk.get(MTU_FILE) or 0) or 1500
        args = args_of(call.args, _ARGS)
        pod = call.host.netns(call.netns)
        result = self._addresses(call, args)
        try:
            name = self._connect(call, args, pod, result, mtu)
        except (CommandError, CniError) as e:
            self._ipam(call).delete(call)
            raise e if isinstance(e, CniError) else _fail(str(e)) from None
        end = pod.links[call.ifname]
        ips = tuple(replace(c, address=f"{c.ip}/{32 if c.family == 4 else 128}", gateway="") for c in result.ips)
        # one interface: the node's end by name, the pod's by its MAC address
        return Result((Interface(name, end.mac, int(conf.get("mtu") or 0), call.sandbox),), ips, (), result.dns, call.version)

    def _ipam(self, call: Call) -> Any:
        return call.host.plugin(str((call.config.get("ipam") or {}).get("type") or ""))

    def _addresses(self, call: Call, args: Mapping[str, str]) -> Result:
        ipam = dict(call.config.get("ipam") or {})
        if "usepodcidr" in json.dumps(ipam).lower():
            raise NotModelled("the calico plugin with host-local and usePodCidr")
        notes = self.annotations(args.get("K8S_POD_NAMESPACE", ""), args["K8S_POD_NAME"]) if args.get("K8S_POD_NAME") else {}
        fixed = notes.get("cni.projectcalico.org/ipAddrs")
        for key, name in (("ipv4pools", "ipv4_pools"), ("ipv6pools", "ipv6_pools")):
            if given := notes.get(f"cni.projectcalico.org/{key}"):
                ipam[name] = _list_of(given, key)
        call = call.but({**call.config, "ipam": ipam})
        if not fixed:
            result: Result = self._ipam(call).add(call)
        else:
            if ipam.get("type") != "calico-ipam":
                raise _fail(f"ipAddrs is not compatible with configured IPAM: {ipam.get('type')}")
            found: list[IpConfig] = []
            try:
                for ip in _list_of(fixed, "ipAddrs"):
                    found += self._ipam(call).add(replace(call, args=f"{call.args};IP={ip}" if call.args else f"IP={ip}")).ips
            except CniError as e:
                self._ipam(call).delete(call)
                raise _fail(f"error getting IP from IPAM: {e.msg}") from None
            result = Result(ips=tuple(found), cni_version=call.version)
        if not result.ips:
            raise _fail("IPAM plugin returned missing IP config")
        return result

    def _connect(self, call: Call, args: Mapping[str, str], pod: Namespace, result: Result, mtu: int) -> str:
        """The pair, the pod's addresses and routes, the node's sysctls and route."""
        node, workload = call.host.node, args.get("K8S_POD_NAME")
        name = (
            veth_name(args.get("K8S_POD_NAMESPACE", ""), workload, self.interface_prefix)
            if workload
            else "cali" + call.container_id[:11]
        )  # fmt: skip
        if name in node.links:
            node.remove_link(name)
        if call.ifname in pod.links:
            raise _fail("file exists")
        origin = pod.origin or f"container {call.container_id[:13]}"
        pod.add_link(call.ifname, "veth", mtu=mtu, peer=(node.id, name), origin=origin)
        node.add_link(name, "veth", mac=MAC, mtu=mtu, peer=(pod.id, call.ifname), origin=origin)
        families = {c.family for c in result.ips}
        if 6 in families:
            # the kernel makes these by itself; a lab's link has no others than it needs
            node.add_address(name, f"{GATEWAY6}/64", scope="link")
            pod.add_address(call.ifname, f"{link_local(pod.links[call.ifname].mac)}/64", scope="link")
        if 4 in families:
            pod.add_route(GATEWAY, dev=call.ifname, scope="link", origin=origin)
            pod.add_route("0.0.0.0/0", via=GATEWAY, dev=call.ifname, origin=origin)
        if 6 in families:
            pod.add_route("::/0", via=GATEWAY6, dev=call.ifname, origin=origin)
        for c in result.ips:
            pod.add_address(call.ifname, f"{c.ip}/{32 if c.family == 4 else 128}")
        forwarding = int(bool((call.config.get("container_settings") or {}).get("allow_ip_forwarding")))
        for fam, key in ((4, "net.ipv4.ip_forward"), (6, "net.ipv6.conf.all.forwarding")):
            if fam in families and pod.sysctl(key) != forwarding:
                pod.set_sysctl(key, forwarding)
        for fam in sorted(families):
            for key, value in host_sysctls(name, fam):
                node.set_sysctl(key, value)
        for c in result.ips:
            node.add_route(c.ip, dev=name, scope="link" if c.family == 4 else None, origin=origin)
        return name

    # ----------------------------------------------------------------------------------------------------------- DEL
    def delete(self, call: Call) -> None:
        pod = call.host.network.namespaces.get(call.netns)
        if pod is not None and call.ifname in pod.links:
            peer = pod.remove_link(call.ifname).peer
            if peer is not None and peer[1] in call.host.node.links:
                call.host.node.remove_link(peer[1])
        self._ipam(call).delete(call)

    def check(self, call: Call) -> None:
        """The real plugin checks nothing."""

    def gc(self, call: Call) -> None:
        """Leaked addresses are collected by calico-kube-controllers."""

    def status(self, call: Call) -> None:
        if not call.config.get("nodename_file_optional") and NODENAME_FILE not in call.host.disk:
            raise CniError(50, f"stat {NODENAME_FILE}: no such file or directory")


def host_sysctls(name: str, fam: int) -> list[tuple[str, int]]:
    """What the plugin, and Felix once more, set on the node's end of a pair."""
    if fam == 6:
        return [(f"net.ipv6.conf.{name}.proxy_ndp", 1), (f"net.ipv6.conf.{name}.forwarding", 1)]
    return [
        (f"net.ipv4.conf.{name}.route_localnet", 1), (f"net.ipv4.neigh.{name}.proxy_delay", 0), (f"net.ipv4.conf.{name}.proxy_arp", 1),
        (f"net.ipv4.conf.{name}.forwarding", 1),
    ]  # fmt: skip


def _list_of(text: str, what: str) -> list[str]:
    """An annotation's JSON list of strings."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise _fail(f"failed to parse '{text}' as JSON: annotation cni.projectcalico.org/{what}")
    return found
