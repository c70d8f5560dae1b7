"""The portmap plugin: a pod's hostPort as iptables rules.

Chains, order and texts are those of containernetworking/plugins (plugins/meta/portmap) of the modelled release. It
stands last in a list and reads the pod's address from the result before it. It reserves nothing: a second pod with
the same host port gets rules too, and the first rule in the table wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import NotModelled
from ..kernel.address import family
from .contract import Call
from .result import CniError, Result
from .rules import RuleStep, append, chain_name, insert, new_chain

__all__ = ["DNAT_CHAIN", "MASQ_CHAIN", "SETMARK_CHAIN", "PortMap", "PortMapping", "dnat_steps", "mark_steps", "top_steps"]

DNAT_CHAIN, SETMARK_CHAIN, MASQ_CHAIN = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
#: the mark bit that asks for masquerading (Kubernetes itself uses 14 and 15)
MARK_BIT = 13
#: multiport takes at most 15 ports
PORTS_PER_RULE = 15


def _fail(message: str) -> CniError:
    return CniError(999, message)


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One entry of runtimeConfig.portMappings."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"hostPort": self.host_port, "containerPort": self.container_port, "protocol": self.protocol}
        return {**out, "hostIP": self.host_ip} if self.host_ip else out


def mappings_of(config: Mapping[str, Any]) -> tuple[PortMapping, ...]:
    """The mappings of a configuration. Raises CniError for ports that are none."""
    out = []
    for m in (config.get("runtimeConfig") or {}).get("portMappings") or ():
        container, host = int(m.get("containerPort") or 0), int(m.get("hostPort") or 0)
        if container <= 0:
            raise _fail(f"failed to parse config: Invalid container port number: {container}")
        if host <= 0:
            raise _fail(f"failed to parse config: Invalid host port number: {host}")
        out.append(PortMapping(host, container, str(m.get("protocol") or "tcp"), str(m.get("hostIP") or "")))
    return tuple(out)


def mark_steps(bit: int = MARK_BIT, fam: int = 4) -> list[RuleStep]:
    """The chain that marks, and the one that masquerades what is marked; the latter is PREPENDED to POSTROUTING."""
    mark = f"{1 << bit:#x}/{1 << bit:#x}"
    note = ("-m", "comment", "--comment")
    return [
        new_chain("nat", SETMARK_CHAIN, fam),
        append("nat", SETMARK_CHAIN, *note, "CNI portfwd masquerade mark", "-j", "MARK", "--set-xmark", mark, family=fam),
        new_chain("nat", MASQ_CHAIN, fam),
        append("nat", MASQ_CHAIN, "-m", "mark", "--mark", mark, "-j", "MASQUERADE", family=fam),
        insert("nat", "POSTROUTING", *note, "CNI portfwd requiring masquerade", "-j", MASQ_CHAIN, family=fam),
    ]


def top_steps(fam: int = 4) -> list[RuleStep]:
    """The summary chain: what is addressed to the node itself, from outside or from the node."""
    local = ("-m", "addrtype", "--dst-type", "LOCAL", "-j", DNAT_CHAIN)
    return [new_chain("nat", DNAT_CHAIN, fam), *(append("nat", c, *local, family=fam) for c in ("PREROUTING", "OUTPUT"))]


def dnat_steps(
    network: str,
    container_id: str,
    address: str,
    mappings: Sequence[PortMapping],
    *,
    snat: bool = True,
    masq_all: bool = False,
    setmark: str = SETMARK_CHAIN,
    conditions: Sequence[str] = (),
    origin: str = "",
) -> list[RuleStep]:
    """One container's chain and the rules that lead to it. `address` is the pod's as CIDR.

    Per mapping up to three rules, in this order: mark what comes from the pod's own network (hairpin), mark what comes
    from 127.0.0.1 (IPv4), rewrite the destination.
    """
    fam, ip = family(address), address.partition("/")[0]
    chain = chain_name(network, container_id, "DN-")
    steps = [new_chain("nat", chain, fam, origin)]

    def rule(where: str, *args: str) -> None:
        steps.append(append("nat", where, *args, family=fam, origin=origin))

    for m in mappings:
        if m.host_ip and family(m.host_ip) != fam:
            continue
        base = ["-p", m.protocol, "--dport", str(m.host_port)]
        if m.host_ip and m.host_ip not in ("0.0.0.0", "::"):
            base += ["-d", m.host_ip]
        if snat:
            source = ("0.0.0.0/0" if fam == 4 else "::/0") if masq_all else address
            rule(chain, *base, "-s", source, "-j", setmark)
            if fam == 4 and not masq_all:
                rule(chain, *base, "-s", "127.0.0.1", "-j", setmark)
        rule(chain, *base, "-j", "DNAT", "--to-destination", f"{ip}:{m.container_port}" if fam == 4 else f"[{ip}]:{m.container_port}")
    comment = f'dnat name: "{network}" id: "{container_id}"'[:255]
    for protocol in sorted({m.protocol for m in mappings}):
        ports = [str(m.host_port) for m in mappings if m.protocol == protocol]
        for i in range(0, len(ports), PORTS_PER_RULE):
            some = ",".join(ports[i : i + PORTS_PER_RULE])
            words = ("-m", "comment", "--comment", comment, "-m", "multiport", "-p", protocol, "--destination-ports", some)
            rule(DNAT_CHAIN, *words, *conditions, "-j", chain)
    return steps


class PortMap:
    """The plugin. Type "portmap"."""

    type = "portmap"

    def add(self, call: Call) -> Result:
        result = self._result(call)
        if result is None:
            raise _fail("must be called as chained plugin")
        mappings = mappings_of(call.config)
        if not mappings:
            return result
        config = call.config
        snat = config.get("snat") is not False
        external = config.get("externalSetMarkChain")
        for address in self._addresses(result, call.ifname):
            fam = family(address)
            steps: list[RuleStep] = []
            if snat:
                if external is None:
                    steps += mark_steps(self._bit(config), fam)
                if fam == 4:
                    self._route_localnet(call, address)
            steps += top_steps(fam)
            steps += dnat_steps(
                call.name, call.container_id, address, mappings, snat=snat, masq_all=bool(config.get("masqAll")),
                setmark=str(external or SETMARK_CHAIN), conditions=config.get(f"conditionsV{fam}") or (), origin=self._origin(call),
            )  # fmt: skip
            call.host.program(steps)
        return result

    @staticmethod
    def _origin(call: Call) -> str:
        pod = call.host.network.namespaces.get(call.netns)
        return pod.origin if pod is not None else ""

    @staticmethod
    def _bit(config: Mapping[str, Any]) -> int:
        if config.get("markMasqBit") is not None and config.get("externalSetMarkChain") is not None:
            raise _fail("failed to parse config: Cannot specify externalSetMarkChain and markMasqBit")
        bit = config.get("markMasqBit")
        bit = MARK_BIT if bit is None else int(bit)
        if not 0 <= bit <= 31:
            raise _fail("failed to parse config: MasqMarkBit must be between 0 and 31")
        return bit

    def _result(self, call: Call) -> Result | None:
        self._bit(call.config)
        if call.config.get("backend", "iptables") != "iptables":
            raise NotModelled(f"portmap backend {call.config['backend']}")
        return call.prev_result

    @staticmethod
    def _addresses(result: Result, ifname: str) -> list[str]:
        """The first address of each family that is the container interface's, IPv4 first."""
        found: dict[int, str] = {}
        for c in result.ips:
            if c.interface is not None and 0 <= c.interface < len(result.interfaces):
                interface = result.interfaces[c.interface]
                if interface.name != ifname or not interface.sandbox:
                    continue
            found.setdefault(c.family, c.address)
        return [found[fam] for fam in (4, 6) if fam in found]

    @staticmethod
    def _route_localnet(call: Call, address: str) -> None:
        # 127.0.0.1 may cross to the pod's interface: the one that the node's route to the pod uses
        route = call.host.node.fib(4).lookup(address.partition("/")[0])
        if route is not None and route.dev:
            call.host.node.set_sysctl(f"net.ipv4.conf.{route.dev}.route_localnet", 1)

    def delete(self, call: Call) -> None:
        if not mappings_of(call.config):
            return
        chain = chain_name(call.name, call.container_id, "DN-")
        for fam in (4, 6):
            nat = call.host.chains("nat", fam)
            steps = [RuleStep("nat", "-F", chain, (), fam)] if chain in nat else []
            steps += [RuleStep("nat", "-D", DNAT_CHAIN, r.args, fam) for r in nat.get(DNAT_CHAIN, ()) if r.args[-2:] == ("-j", chain)]
            if chain in nat:
                steps.append(RuleStep("nat", "-X", chain, (), fam))
            if steps:
                call.host.program(steps)

    def check(self, call: Call) -> None:
        result = self._result(call)
        if result is None:
            raise _fail("Required prevResult missing")
        mappings = mappings_of(call.config)
        chain = chain_name(call.name, call.container_id, "DN-")
        for address in self._addresses(result, call.ifname) if mappings else ():
            nat = call.host.chains("nat", family(address))
            if chain not in nat:
                raise _fail(f"could not check ipv{family(address)} dnat: chain {chain} not found in iptables table nat")

    def gc(self, call: Call) -> None:
        """Its rules go with DEL."""

    def status(self, call: Call) -> None:
        """Always able."""
