"""The loopback plugin. Source: containernetworking/plugins plugins/main/loopback."""

from __future__ import annotations

from dataclasses import replace

from .contract import Call
from .decode import NETCONF, Struct, decode
from .result import CniError, Interface, IpConfig, Result

__all__ = ["Loopback"]

SCHEMA = Struct("types.NetConf", dict(NETCONF))


class Loopback:
    """Sets lo up, whatever the interface's name. Runtimes call it for every pod before the network itself."""

    type = "loopback"
    schema = SCHEMA

    def add(self, call: Call) -> Result:
        decode(call.config, SCHEMA)
        before = call.prev_result
        pod = call.host.netns(call.netns)
        if not pod.link("lo").up:
            pod.set_link("lo", up=True)
        if before is not None:
            return replace(before, cni_version=call.version)
        ips = tuple(IpConfig(str(a), interface=0) for a in sorted(pod.link("lo").addresses, key=lambda a: a.family))
        return Result((Interface("lo", pod.link("lo").mac, sandbox=call.sandbox),), ips, cni_version=call.version)

    def delete(self, call: Call) -> None:
        pod = call.host.network.namespaces.get(call.netns)
        if pod is not None:
            pod.set_link("lo", up=False)

    def check(self, call: Call) -> None:
        if not call.host.netns(call.netns).link("lo").up:
            raise CniError(999, "loopback interface is down")

    def gc(self, call: Call) -> None:
        """Nothing is kept."""

    def status(self, call: Call) -> None:
        """Always able."""
