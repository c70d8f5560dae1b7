"""`CoreDns`: the server as a process in a pod, answering packets; `CoreDNS`: how a cluster's DNS is to be set up.

Questions that are forwarded leave the pod as packets of its own. Source: coredns core/dnsserver/server.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from ..errors import KubenetError, NotModelled
from ..kernel.packet import Filler
from ..kernel.process import Answer, Machine, Message
from ..objects.snapshot import Snapshot
from .addon import addon
from .corefile import CorefileError, shipped
from .message import Query, Response
from .plugins.base import Asked
from .resolv import ResolvConf
from .server import NODE_RESOLV_CONF, Server
from .wire import BadMessage, DnsPayload, Unpackable, parse
from .zones import query_of

__all__ = ["CoreDNS", "CoreDns", "not_modelled"]


@dataclass(frozen=True, slots=True)
class CoreDNS:
    """Options of the cluster's DNS: the Corefile (None: kubeadm's), how many replicas, zones that the outside resolver knows.

    `upstream_zones` maps a zone to zone-file text or to owner -> type -> data; None is a small internet of its own.
    """

    corefile: str | None = None
    replicas: int = 2
    upstream_zones: Mapping[str, Any] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if self.replicas < 0:
            raise KubenetError(f"CoreDNS(replicas={self.replicas}): expected a number not below 0")

    def documents(self, domain: str, cluster_dns_ip: str) -> list[dict[str, Any]]:
        """The add-on's objects: ConfigMap, Deployment, Service kube-dns."""
        return addon(domain, cluster_dns_ip, self.replicas, self.corefile)


def not_modelled(name: str) -> NotModelled:
    """The error for another cluster DNS: kube-dns (SkyDNS behind dnsmasq), NodeLocal DNSCache."""
    known = {"kube-dns": "kube-dns (SkyDNS behind dnsmasq)", "nodelocaldns": "NodeLocal DNSCache", "node-local-dns": "NodeLocal DNSCache"}
    return NotModelled(f"cluster DNS {known.get(name, repr(name))}: CoreDNS is modelled")


@dataclass(slots=True)
class CoreDns:
    """CoreDNS, bound to UDP and TCP 53 of its pod.

    `snapshot` gives the objects as they are when a question comes; `corefile` is text or a function that gives it, None is
    kubeadm's; `resolv` gives the pod's resolv.conf, which `forward . /etc/resolv.conf` names. A changed Corefile is taken
    over at once and empties the cache, as a reload does; one with an error is not, and the old one stays.
    """

    snapshot: Callable[[], Snapshot]
    corefile: str | Callable[[], str] | None = None
    resolv: Callable[[], ResolvConf] | None = None
    domain: str = "cluster.local"
    name: str = "coredns"
    _server: Server | None = None
    _source: tuple[str, str] = ("", "")

    @property
    def server(self) -> Server:
        """The server as configured now. Raises CorefileError where CoreDNS would not start."""
        written = self.corefile() if callable(self.corefile) else self.corefile
        text = shipped(self.domain) if written is None else written
        resolv = self.resolv().text if self.resolv is not None else NODE_RESOLV_CONF
        if self._server is None or self._source != (text, resolv):
            try:
                self._server = Server(text, self.snapshot, self.domain, files={"/etc/resolv.conf": resolv})
            except CorefileError:
                if self._server is None:
                    raise
                return self._server
            self._source = (text, resolv)
        return self._server

    def handle(self, message: Message, machine: Machine) -> Answer | None:
        query = query_of(message)
        if query is None:
            # probe data that is no DNS message: over UDP a FORMERR of 12 bytes, over TCP the connection is closed
            return Answer(Filler(12 if message.protocol == "UDP" else 0))
        server = self.server
        if message.dport not in server.ports:
            return None
        memory = machine.memory
        stamp = crc32("\0".join(self._source).encode())
        if memory.get("corefile") != stamp:
            for key in list(memory):
                del memory[key]
            memory["corefile"] = stamp

        def ask(address: str, port: int, protocol: str, asked: Query, timeout: float) -> Asked:
            payload = DnsPayload(asked, stream=protocol == "TCP")
            try:
                len(payload)
            except Unpackable:
                return Asked(None, "EBADMSG", 0.0)
            said = machine.exchange(address, port, protocol, payload, timeout)
            response = _response(said.reply, protocol)
            error = None if response is not None else said.error or "EBADMSG"
            return Asked(response, error, said.elapsed)

        env = server.environment(
            message.src, lambda: machine.now, memory, machine.choose, ask, message.protocol, (message.dst,), waits=True
        )  # fmt: skip
        try:
            payload = DnsPayload(server.serve(query, env, message.dport), stream=message.protocol == "TCP", steps=tuple(env.steps))
            len(payload)
        except Unpackable:
            return None  # dns.ResponseWriter.WriteMsg fails and nobody looks: nothing is sent (an externalName with a label of 64, say)
        return Answer(payload, env.delay)


def _response(payload: Any, protocol: str) -> Response | None:
    """The response in what an upstream sent back, or None."""
    if payload is None:
        return None
    if isinstance(payload, DnsPayload):
        return payload.message if isinstance(payload.message, Response) else None
    raw = bytes(payload)
    try:
        read = parse(raw[2:] if protocol == "TCP" else raw)
    except BadMessage:
        return None
    return read if isinstance(read, Response) else None
