"""The portmap plugin: a pod's hostPort as iptables rules.

Chains, order and texts are those of containernetworking/plugins (plugins/meta/portmap) of the modelled release. It
stands last in a list and reads the pod's address from the result before it. It reserves nothing: a second pod with
the same host port gets rules too, and the first rule in the table wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import NotModelled
from ..kernel.address import family
from .contract import Call
from .decode import BOOL, INT, NETCONF, STRING, ListOf, Struct, decode
from .result import CniError, Result
from .rules import RuleStep, append, chain_name, insert, new_chain

__all__ = ["DNAT_CHAIN", "MASQ_CHAIN", "SETMARK_CHAIN", "PortMap", "PortMapping", "dnat_steps", "mark_steps", "top_steps"]

DNAT_CHAIN, SETMARK_CHAIN, MASQ_CHAIN = "CNI-HOSTPORT-DNAT", "CNI-HOSTPORT-SETMARK", "CNI-HOSTPORT-MASQ"
#: the mark bit that asks for masquerading (Kubernetes itself uses 14 and 15)
MARK_BIT = 13
#: multiport takes at most 15 ports
PORTS_PER_RULE = 15


_MAPPING = Struct("main.PortMapEntry", {"hostPort": INT, "containerPort": INT, "protocol": STRING, "hostIP": STRING})
SCHEMA = Struct(
    "main.PortMapConf",
    NETCONF
    | {
        "snat": BOOL, "conditionsV4": ListOf(STRING), "conditionsV6": ListOf(STRING), "masqAll": BOOL, "markMasqBit": INT,
        "externalSetMarkChain": STRING, "backend": STRING, "runtimeConfig": Struct("", {"portMappings": ListOf(_MAPPING)}),
    },
)  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class PortMapConfig:
    """The plugin's configuration with its defaults; `of` refuses what the plugin refuses."""

    mappings: tuple[PortMapping, ...] = ()
    snat: bool = True
    masq_all: bool = False
    mark_bit: int = MARK_BIT
    external: str | None = None
    conditions: Mapping[int, Sequence[str]] = field(default_factory=dict)  # by family

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> PortMapConfig:
        c = decode(config, SCHEMA, "failed to parse network configuration: ")
        bit, external = c.get("markMasqBit"), c.get("externalSetMarkChain")
        if bit is not None and external is not None:
            raise _fail("Cannot specify externalSetMarkChain and markMasqBit")
        bit = MARK_BIT if bit is None else bit
        if not 0 <= bit <= 31:
            raise _fail("MasqMarkBit must be between 0 and 31")
        mappings = []
        for m in c.get("runtimeConfig", {}).get("portMappings", ()):
            m = m or {}
            host, container = m.get("hostPort", 0), m.get("containerPort", 0)
            if container <= 0:
                raise _fail(f"Invalid container port number: {container}")
            if host <= 0:
                raise _fail(f"Invalid host port number: {host}")
            mappings.append(PortMapping(host, container, m.get("protocol", ""), m.get("hostIP", "")))
        if c.get("backend", "") not in ("", "iptables"):
            if c["backend"] != "nftables":
                raise _fail(f"unrecognized backend {c['backend']!r}")
            raise NotModelled("portmap backend nftables: its rules are in nft's own tables, which are not modelled yet")
        conditions = {4: c.get("conditionsV4", ()), 6: c.get("conditionsV6", ())}
        return cls(tuple(mappings), c.get("snat", True), c.get("masqAll", False), bit, external, conditions)


class PortMap:
    """The plugin. Type "portmap"."""

    type = "portmap"
    schema = SCHEMA

    def validate(self, config: Mapping[str, Any]) -> None:
        """What it refuses before it touches anything. Raises CniError."""
        PortMapConfig.of(config)

    def add(self, call: Call) -> Result:
        conf, result = self._load(call)
        if result is None:
            raise _fail("must be called as chained plugin")
        for address in self._addresses(result, call.ifname) if conf.mappings else ():
            fam = family(address)
            steps: list[RuleStep] = []
            if conf.snat:
                if conf.external is None:
                    steps += mark_steps(conf.mark_bit, fam)
                if fam == 4:
                    self._route_localnet(call, address)
            call.host.program([*steps, *top_steps(fam)])
            try:
                call.host.program(self._own_steps(call, conf, address))
            except CniError as e:
                raise _fail(f"unable to setup DNAT: {e.msg}") from None
            for m in conf.mappings:
                if m.protocol.lower() == "udp":
                    call.host.flush_udp(m.host_port, fam)
        return replace(result, cni_version=call.version)

    @staticmethod
    def _load(call: Call) -> tuple[PortMapConfig, Result | None]:
        try:
            conf = PortMapConfig.of(call.config)
        except CniError as e:
            raise CniError(e.code, f"failed to parse config: {e.msg}") from None
        return conf, call.prev_result

    @staticmethod
    def _own_steps(call: Call, conf: PortMapConfig, address: str) -> list[RuleStep]:
        pod = call.host.network.namespaces.get(call.netns)
        return dnat_steps(
            call.name, call.container_id, address, conf.mappings, snat=conf.snat, masq_all=conf.masq_all,
            setmark=SETMARK_CHAIN if conf.external is None else conf.external, conditions=conf.conditions.get(family(address), ()),
            origin=pod.origin if pod is not None else "",
        )  # fmt: skip

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
        """Remove the container's chain and what leads to it; what is gone already is no error."""
        conf, _ = self._load(call)
        if not conf.mappings:
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
        """The container's chain, its rules and what leads to it are there. Raises CniError at the first that is not."""
        conf = PortMapConfig.of(call.config)
        result = call.prev_result
        if result is None:
            raise _fail("Required prevResult missing")
        chain = chain_name(call.name, call.container_id, "DN-")
        for address in self._addresses(result, call.ifname) if conf.mappings else ():
            fam = family(address)
            trouble = f"could not check ipv{fam} dnat:"
            if chain not in call.host.chains("nat", fam):
                raise _fail(f"{trouble} chain {chain} not found in iptables table nat")
            rules = [s for s in self._own_steps(call, conf, address) if s.action == "-A"]
            for where in (chain, DNAT_CHAIN):
                here = [s for s in rules if s.chain == where]
                if any(not call.host.has_rule(s) for s in here):
                    listed = " ".join(f"[{' '.join(s.args if where == chain else s.args[:-2])}]" for s in here)
                    raise _fail(f"{trouble} rule [{listed}] in chain {where} not found in table nat")

    def gc(self, call: Call) -> None:
        """Its rules go with DEL."""

    def status(self, call: Call) -> None:
        """Always able."""
