"""A Corefile: which zones are served on which port, and by which directives.

Source: coredns core/dnsserver/register.go (keys, ports, reverse zones, duplicates), zdirectives.go of the modelled
release (the order in which plugins run, whatever their order in the file), plugin/normalize.go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from .caddyfile import Block, CorefileError, Token, parse_blocks
from .names import fqdn, normalize, reverse_zones

__all__ = ["DIRECTIVES", "Corefile", "CorefileError", "ServerBlock", "ZoneAddress", "hosts_of", "origins", "shipped"]

#: compiled order of CoreDNS 1.14.2: a query meets the plugins of its server block in this order. Releases move them:
#: from 1.14.3 on `rewrite` and `autopath` stand above `cache`.
DIRECTIVES: tuple[str, ...] = (
    "root", "metadata", "geoip", "cancel", "tls", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts", "multisocket",
    "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "prometheus", "errors", "log", "dnstap", "local",
    "dns64", "acl", "any", "chaos", "loadbalance", "tsig", "cache", "rewrite", "header", "dnssec", "autopath", "minimal", "template",
    "transfer", "hosts", "route53", "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary", "etcd", "loop",
    "forward", "grpc", "erratic", "whoami", "on", "sign", "view", "nomad",
)  # fmt: skip

_PORTS = {"dns": 53, "tls": 853, "quic": 853, "grpc": 443, "https": 443, "https3": 443}


@dataclass(frozen=True, slots=True)
class ZoneAddress:
    """One key of a server block: `zone` with its closing dot, `port`, and the transport ("dns", "tls", "https"...)."""

    zone: str
    port: int = 53
    transport: str = "dns"

    def __str__(self) -> str:
        return f"{self.transport}://{self.zone}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServerBlock:
    """One block: the zones it serves and its directives' tokens. `number` counts blocks from 0."""

    number: int
    addresses: tuple[ZoneAddress, ...]
    directives: Mapping[str, tuple[Token, ...]]
    line: int

    @property
    def zones(self) -> tuple[str, ...]:
        return tuple(a.zone.lower() for a in self.addresses)

    @property
    def plugins(self) -> tuple[str, ...]:
        """Its directives in the order in which they run."""
        return tuple(d for d in DIRECTIVES if d in self.directives)


def _transport(key: str) -> tuple[str, str]:
    for name in ("tls", "dns", "quic", "grpc", "https3", "https"):
        if key.startswith(name + "://"):
            return name, key[len(name) + 3 :]
    return "dns", key


def _valid_name(name: str) -> bool:
    parts = fqdn(name)[:-1].split(".")
    if name in ("", "."):
        return True
    return all(0 < len(p) <= 63 for p in parts) and len(name) <= 254


def _split(key: str) -> tuple[tuple[str, ...], int | None]:
    """The hosts (several for a CIDR off the label boundary) and the port of a key. Raises CorefileError."""
    colon = key.rfind(":")
    if colon != -1 and colon == len(key) - 1:
        raise CorefileError(f'expecting data after last colon: "{key}"')
    port = None
    if colon != -1 and key[colon + 1 :].lstrip("+-").isdigit():
        port, key = int(key[colon + 1 :]), key[:colon]
    if len(key) > 255:
        raise CorefileError(f"specified zone is too long: {len(key)} > 255")
    if not _valid_name(key):
        raise CorefileError(f"zone is not a valid domain name: {key}")
    if "/" not in key:
        return (key,), port
    try:
        zones = reverse_zones(key)
    except ValueError:
        return (key,), port
    if key[0] == ":" or (key[0] == "0" and ":" in key):
        raise CorefileError(f"invalid CIDR {key}")
    return zones, port


def hosts_of(text: str) -> tuple[str, ...]:
    """The normalized zones that a host argument names: several for a CIDR; none if it is malformed."""
    try:
        hosts, _ = _split(_transport(text)[1])
    except CorefileError:
        return ()
    return tuple(normalize(h) for h in hosts)


def origins(args: Sequence[str], zones: Sequence[str]) -> tuple[str, ...]:
    """The zones a plugin answers for: its arguments, or else those of its server block."""
    if not args:
        return tuple(zones)
    return tuple(z for a in args for z in hosts_of(a))


@dataclass(frozen=True)
class Corefile:
    """A parsed Corefile. `text` is kept as written."""

    text: str
    blocks: tuple[ServerBlock, ...]

    @classmethod
    def parse(
        cls, text: str, *, name: str = "Corefile", env: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None,
        directives: Collection[str] = DIRECTIVES,
    ) -> Corefile:  # fmt: skip
        """Reads a Corefile. `env` gives `{$NAME}`, `files` what `import` may name.

        Raises CorefileError with CoreDNS's own message, NotModelled for an import of a file that is not given.
        """
        written = parse_blocks(text, name, directives, env, files)
        if not written:  # what CoreDNS serves without a Corefile
            written = parse_blocks(".:53 {\nwhoami\nlog\n}\n", name, directives)
        blocks = tuple(_server_block(i, b) for i, b in enumerate(written))
        taken: set[ZoneAddress] = set()
        for block in blocks:
            for address in block.addresses:
                here = ZoneAddress(address.zone.lower(), address.port, address.transport)
                if here in taken:
                    raise CorefileError(f"cannot serve {address} - it is already defined", block.line)
                if "view" not in block.directives:
                    taken.add(here)
        return cls(text, blocks)

    @cached_property
    def ports(self) -> tuple[int, ...]:
        """The ports on which plain DNS is served."""
        return tuple(sorted({a.port for b in self.blocks for a in b.addresses if a.transport == "dns"}))

    def __str__(self) -> str:
        return self.text


def _server_block(number: int, block: Block) -> ServerBlock:
    addresses = []
    for key in block.keys:
        transport, rest = _transport(key)
        hosts, port = _split(rest)
        addresses += [ZoneAddress(fqdn(h), _PORTS[transport] if port is None else port, transport) for h in hosts]
    return ServerBlock(number, tuple(addresses), block.directives, block.line)


def shipped(domain: str = "cluster.local", upstream: str = "/etc/resolv.conf") -> str:
    """The Corefile that kubeadm installs (cmd/kubeadm/app/phases/addons/dns/manifests.go, CoreDNSConfigMap)."""
    return f""".:53 {{
    errors
    health {{
       lameduck 5s
    }}
    ready
    kubernetes {domain} in-addr.arpa ip6.arpa {{
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }}
    prometheus :9153
    forward . {upstream} {{
       max_concurrent 1000
    }}
    cache 30 {{
       disable success {domain}
       disable denial {domain}
    }}
    loop
    reload
    loadbalance
}}
"""
