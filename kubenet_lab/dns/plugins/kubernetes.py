"""The `kubernetes` plugin: answers for the cluster's zones from the objects.

Source: coredns plugin/kubernetes/handler.go (types, rcodes), setup.go (options); the DNS-based service discovery
specification of kubernetes/dns for what must exist.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import NotModelled
from ...objects.selectors import SelectorError, parse
from ..caddyfile import CorefileError, Dispenser
from ..corefile import hosts_of, origins
from ..message import Query, Record
from ..names import is_reverse, longest_zone, normalize
from ..resolv import parse_resolv_conf
from . import kube_answers as answers
from .base import NEVER, Env, Fall, Plugin, Reply, Setup, Unwritten, duration, integer, only_once, pass_on
from .kube_index import KubeIndex, index_of
from .kube_lookup import Lookup, NoSuchName

__all__ = ["Kubernetes", "setup"]


@dataclass(slots=True)
class Kubernetes:
    zones: tuple[str, ...]
    pods: str = "disabled"  # "insecure", "verified"
    namespaces: tuple[str, ...] = ()
    labels: str = ""
    namespace_labels: str = ""
    fall: Fall = NEVER
    ttl: int = 5
    endpoints: bool = True
    endpoint_pod_names: bool = False
    ignore_empty_service: bool = False
    search: tuple[str, ...] = ()  # of the server's own resolv.conf; autopath appends it
    next: Plugin | None = None
    name: str = "kubernetes"

    @property
    def primary_zone(self) -> str:
        """The first zone that is not a reverse one: PTR records point into it."""
        return next(z for z in self.zones if not is_reverse(z))

    def index(self, env: Env) -> KubeIndex:
        return index_of(env.snapshot, self.labels, self.namespace_labels, self.endpoints)

    def lookup(self, env: Env, zone: str) -> Lookup:
        return Lookup(
            self.index(env), env, zone, self.primary_zone, self.ttl, self.pods, self.namespaces, self.endpoint_pod_names,
            self.ignore_empty_service, env.local_ips,
        )  # fmt: skip

    def serve(self, query: Query, env: Env) -> Reply:
        matched = longest_zone(self.zones, query.name)
        if not matched:
            return pass_on(self, query, env)
        qname = query.question.name
        zone = qname[len(qname) - len(matched) :]  # the zone in the case of the query
        serial = env.serial or self.index(env).modified
        look = self.lookup(env, zone)
        records: list[Record] = []
        extra: list[Record] = []
        truncated = False
        try:
            match query.type:
                case "A" | "AAAA":
                    records, truncated = answers.addresses(look, query, env)
                case "TXT":
                    records = answers.text(look, query)
                case "CNAME":
                    records = answers.alias(look, query)
                case "PTR":
                    records = answers.pointers(look, query)
                case "MX":
                    records = answers.mail(look, query)
                case "SRV":
                    records, extra = answers.services(look, query)
                case "SOA":
                    if qname == zone:
                        records = [answers.soa(zone, self.ttl, serial)]
                case "AXFR" | "IXFR":
                    env.step("dns.transfer_refused", zone=zone)
                    return Unwritten("REFUSED")
                case "NS" if query.name == zone:
                    records, extra = answers.name_servers(look, query)
                case _:
                    answers.addresses(look, query.asking(qname, "A"), env)  # only to learn whether the name exists
        except NoSuchName:
            if self.fall.through(query.name):
                env.step("dns.fallthrough", name=qname, plugin=self.name)
                return pass_on(self, query, env)
            if not env.synced:
                env.step("dns.not_synced", name=qname)
                return answers.negative(query, "SERVFAIL", zone, self.ttl, serial)
            return answers.negative(query, "NXDOMAIN", zone, self.ttl, serial)
        if not records:
            env.step("dns.nodata", name=qname, type=query.type, zone=zone)
            return answers.negative(query, "NOERROR", zone, self.ttl, serial)
        flags = ("AA", "TC") if truncated else ("AA",)
        return query.reply(flags=flags, answer=tuple(records), additional=tuple(extra))

    def search_path(self, query: Query, env: Env) -> tuple[str, ...]:
        """The search list that autopath walks for this client, or () (plugin/kubernetes/autopath.go)."""
        zone = longest_zone(self.zones, query.name)
        if not zone or self.pods != "verified":
            return ()
        pods = self.index(env).pods_by_ip.get(env.client_ip)
        if not pods:
            return ()
        dot = "" if zone == "." else zone
        return (f"{pods[0].namespace}.svc.{dot}", f"svc.{dot}", zone, *self.search, "")


def _args(d: Dispenser, least: int = 1, most: int | None = None) -> list[str]:
    args = d.remaining_args()
    if len(args) < least or (most is not None and len(args) > most):
        raise d.argument_error()
    return args


def _selector(d: Dispenser, what: str) -> str:
    written = " ".join(_args(d))
    try:
        parse(written)
    except SelectorError as error:
        raise CorefileError(f"unable to parse {what} value: '{written}': {error}") from None
    return written


def setup(s: Setup) -> Kubernetes:
    d = s.dispenser()
    d.next()
    k = Kubernetes(origins(d.remaining_args(), s.block.zones))
    if all(is_reverse(z) for z in k.zones):
        raise CorefileError("non-reverse zone name must be used")
    multicluster: tuple[str, ...] = ()
    while d.next_block():
        match d.value:
            case "endpoint_pod_names":
                _args(d, 0, 0)
                k.endpoint_pod_names = True
            case "pods":
                (mode,) = _args(d, 1, 1)
                if mode not in ("disabled", "insecure", "verified"):
                    raise CorefileError(f"wrong value for pods: {mode},  must be one of: disabled, verified, insecure")
                k.pods = mode
            case "namespaces":
                k.namespaces = (*k.namespaces, *_args(d))
            case "labels":
                k.labels = _selector(d, "label selector")
            case "namespace_labels":
                k.namespace_labels = _selector(d, "namespace_label selector")
            case "fallthrough":
                k.fall = Fall.of(d.remaining_args())
            case "ttl":
                k.ttl = integer(_args(d)[0])
                if not 0 <= k.ttl <= 3600:
                    raise d.error(f"ttl must be in range [0, 3600]: {k.ttl}")
            case "noendpoints":
                _args(d, 0, 0)
                k.endpoints = False
            case "ignore":
                args = d.remaining_args()
                if args and args[0] != "empty_service":
                    raise CorefileError(f"unable to parse ignore value: '{args[0]}'")
                k.ignore_empty_service |= bool(args)
            case "multicluster":
                multicluster = tuple(z for a in d.remaining_args() for z in hosts_of(a))
            case "endpoint":
                _args(d)
            case "tls":
                _args(d, 3, 3)
            case "kubeconfig":
                _args(d, 1, 2)
            case "startup_timeout":
                duration(_args(d)[0])
            case "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight" as option:
                _number(d, option)
            case unknown:
                raise d.error(f"unknown property '{unknown}'")
    if k.namespaces and k.namespace_labels:
        raise d.error("namespaces and namespace_labels cannot both be set")
    for zone in multicluster:
        if zone not in k.zones:
            raise d.error(f"is not authoritative for the multicluster zone {zone}")
    if multicluster:
        raise NotModelled("kubernetes multicluster zones: the lab has no ServiceImports")
    only_once(d)
    if "/etc/resolv.conf" in s.files:
        k.search = tuple(normalize(z) for z in parse_resolv_conf(s.files["/etc/resolv.conf"]).searches)
    return k


def _number(d: Dispenser, option: str) -> None:
    (value,) = _args(d, 1, 1)
    try:
        number = float(value) if option == "apiserver_qps" else integer(value)
    except (ValueError, CorefileError) as error:
        raise d.error(f'invalid {option} "{value}": {error}') from None
    if number < 0:
        raise d.error(f"{option} must be >= 0")
