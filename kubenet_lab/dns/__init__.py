"""Cluster DNS: CoreDNS and its plugins, the pod's resolv.conf, the stub resolvers of glibc and musl."""

from __future__ import annotations

from .addon import addon
from .coredns import CoreDNS, CoreDns
from .corefile import Corefile, CorefileError, shipped
from .hosts_file import hosts_file
from .message import Query, Question, Record, Response
from .query import DnsAnswer, query
from .resolv import ResolvConf, parse_resolv_conf, resolv_conf
from .resolver import Resolution, SentQuery, resolve
from .server import Server
from .wire import DnsPayload
from .zones import Upstream, Zones

__all__ = [
    "CoreDNS", "CoreDns", "Corefile", "CorefileError", "DnsAnswer", "DnsPayload", "Query", "Question", "Record", "ResolvConf", "Resolution",
    "Response", "SentQuery", "Server", "Upstream", "Zones", "addon", "hosts_file", "parse_resolv_conf", "query", "resolv_conf", "resolve",
    "shipped",
]  # fmt: skip
