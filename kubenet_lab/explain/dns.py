"""Words for the dns chapter: what decided an answer, and what the resolver made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .phrase import Phrase, documented, measured, upstream

__all__ = ["PHRASES"]

Params = Mapping[str, Any]

_HANDLER = upstream("coredns plugin/kubernetes/handler_test.go")
_LOOKUP = documented("coredns plugin/kubernetes/kubernetes.go")
_PODS = upstream("coredns plugin/kubernetes/handler_pod_insecure_test.go, handler_pod_disabled_test.go, handler_pod_verified_test.go")
_REVERSE = upstream("coredns plugin/kubernetes/reverse_test.go")
_PARSE = upstream("coredns plugin/kubernetes/parse_test.go")
_SERVER = documented("coredns core/dnsserver/server.go")
_CACHE = upstream("coredns plugin/cache/cache_test.go")
_FORWARD = documented("coredns plugin/forward/forward.go")
_SPEC = documented("kubernetes/dns docs/specification.md 1.1.0")
_GLIBC = measured("getaddrinfo(AF_UNSPEC) of glibc 2.36 against a loopback server")
_LIBC = measured("getaddrinfo(AF_UNSPEC) of glibc 2.36 and musl 1.2.3 against a loopback server")
_KUBELET = documented("kubernetes pkg/kubelet/kubelet_pods.go managedHostsFileContent")

_DIG = "dig {name}"


def _list(items: Any, none: str = "none") -> str:
    words = [str(i) for i in items]
    return ", ".join(words) if words else none


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _near(p: Params) -> str:
    near = p.get("near") or ()
    return f" Near it: {_list(near)}." if near else ""


def _ready(p: Params) -> str:
    if p["ready"]:
        return f"It has {_count(p['ready'], 'ready endpoint')}, but the answer does not depend on them."
    return "It has no ready endpoint; the name resolves all the same, and a connection to it will fail."


def _held(p: Params) -> str:
    if p["held"]:
        return "A pod of that namespace has this address, but nobody checked."
    return "No pod of that namespace has this address: with `pods insecure` nobody checks."


def _no_endpoints(p: Params) -> str:
    text = f"Service {p['namespace']}/{p['service']} is headless, so its name stands for its ready endpoints, and it has none."
    if p["not_ready"]:
        text += f" {_count(p['not_ready'], 'endpoint')} not ready yet: with publishNotReadyAddresses the name would hold them."
    return text + " With no record left the name does not exist."


def _endpoint(p: Params) -> str:
    text = f"No ready endpoint of Service {p['namespace']}/{p['service']} is called {p['endpoint']}. "
    text += f"Its endpoints are {_list(p['endpoints'])}."
    if p["is_pod"]:
        text += " There is a pod of that name, but a pod's name is not a record: set its hostname, and its subdomain to the Service's name."
    return text


def _pod_label(p: Params) -> str:
    text = f"{p['label']} is not an address with dashes, and nothing else stands below pod."
    if p["is_pod"] and p["ip"]:
        dashed = p["ip"].replace(".", "-").replace(":", "-")
        text += f" The pod {p['label']} exists; the record made of its address is {dashed}.{p['namespace']}.pod."
    return text


def _pod_name(p: Params) -> str:
    dashed = (p["ip"] or "").replace(".", "-").replace(":", "-")
    other = f" What answers for its address is {dashed}.{p['namespace']}.pod.{p['zone']}" if dashed else ""
    return (
        f"{p['service']} is a pod of namespace {p['namespace']}, and a pod's name is not a record. A name needs a Service: a headless one, "
        f"named in the pod's subdomain, gives its pods names of their own.{other}"
    )


def _port(p: Params) -> str:
    asked = f"_{p['port']}._{p['protocol']}" if p["port"] else f"_{p['protocol']}"
    return f"Service {p['namespace']}/{p['service']} has no port {asked}. Its ports are {_list(p['ports'])}."


def _tried(p: Params) -> str:
    rows = [f"{name} ({' and '.join(outcomes)})" for name, outcomes in p["outcomes"].items()]
    return f"Before or beside the answer it asked for {_list(rows)}: {_count(p['packets'], 'packet')}."


def _lost(p: Params) -> str:
    return (
        f"{_count(p['count'], 'question')} got no answer, the first of them {p['name']} {p['type']} to {p['server']}. "
        f"The resolver waited for it; all in all the lookup took {_seconds(p['elapsed'])}."
    )


def _search_first(p: Params) -> str:
    return (
        f"{p['name']} has {_count(p['dots'], 'dot')}, fewer than ndots:{p['ndots']}, so the search list comes first: "
        f"{_list(p['searches'])}. Only then is the name tried as it stands."
    )


def _shuffled(p: Params) -> str:
    return f"The plugin loadbalance puts the {p['count']} addresses in a random order, on cache hits too."


def _hidden(p: Params) -> str:
    return f"Namespace {p['namespace']} exists, but the Corefile's `namespaces` does not list it, so its names do not exist here."


def _cache_hit(p: Params) -> str:
    what = "a denial" if p["kind"] == "denial" else "an answer"
    return f"CoreDNS has {what} for {p['name']} in its cache, {_count(p['age'], 'second')} old; it counts for {p['left']} s more."


def _forwarded(p: Params) -> str:
    return f"No zone of this server holds {p['name']}, so it asks {p['upstream']}, which says {p['rcode']}."


def _nodata(p: Params) -> str:
    return f"The name {p['name']} exists, a record of type {p['type']} does not: NOERROR with an empty answer (NODATA)."


PHRASES: dict[str, Phrase] = {
    # --- services and endpoints ---
    "dns.service_found": Phrase(
        "{name} is Service {namespace}/{service}",
        lambda p: f"Service {p['namespace']}/{p['service']} has the address {_list(p['addresses'])}. {_ready(p)}",
        "kubectl -n {namespace} get service {service}",
        _HANDLER,
    ),
    "dns.headless": Phrase(
        "{name} is a headless Service",
        lambda p: f"Service {p['namespace']}/{p['service']} is headless: its name stands for its ready endpoints, {_list(p['addresses'])}.",
        "kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={service}",
        _HANDLER,
    ),
    "dns.endpoint_found": Phrase(
        "{endpoint} is an endpoint of {namespace}/{service}",
        lambda p: f"{p['endpoint']} is an endpoint of Service {p['namespace']}/{p['service']}: {_list(p['addresses'])}.",
        "kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={service}",
        _HANDLER,
    ),
    "dns.external_name": Phrase(
        "{name} stands for {target}",
        "Service {namespace}/{service} is of type ExternalName: {name} is an alias (CNAME) of {target}, and CoreDNS looks that up in turn.",
        "kubectl -n {namespace} get service {service}",
        _HANDLER,
    ),
    "dns.external_loop": Phrase(
        "{name} points at itself",
        "The alias {target} lies at or below {name} itself. CoreDNS drops it, and nothing is left to answer.",
        evidence=documented("coredns plugin/backend_lookup.go"),
    ),
    "dns.pod_insecure": Phrase(
        "the name itself spells {ip}",
        lambda p: f"Below pod the label is the address: {p['label']} answers {p['ip']}. {_held(p)}",
        evidence=_PODS,
    ),
    "dns.pod_verified": Phrase(
        "pod {pod} has {ip}", "Below pod the label is the address, and pod {namespace}/{pod} has it: {ip}.", evidence=_PODS
    ),
    "dns.reverse_service": Phrase(
        "{ip} is Service {namespace}/{service}",
        "{ip} is the clusterIP of Service {namespace}/{service}, so that is the one name it has.",
        "dig -x {ip}",
        _REVERSE,
    ),
    "dns.reverse_endpoint": Phrase(
        "{ip} is an endpoint",
        lambda p: f"{p['ip']} is a ready endpoint. It has one name for each Service that selects it: {_list(p['targets'])}.",
        "dig -x {ip}",
        _REVERSE,
    ),
    # --- what does not exist ---
    "dns.nxdomain_service": Phrase(
        "no Service {service} in {namespace}",
        lambda p: f"There is no Service {p['service']} in namespace {p['namespace']}, so {p['name']} does not exist (NXDOMAIN).{_near(p)}",
        "kubectl -n {namespace} get services",
        _HANDLER,
    ),
    "dns.nxdomain_pod_name": Phrase(
        "{service} is a pod, not a Service", _pod_name, "kubectl -n {namespace} get pod {service} -o wide", _SPEC
    ),
    "dns.nxdomain_namespace": Phrase(
        "no namespace {namespace}",
        "There is no namespace {namespace}, so nothing below it exists (NXDOMAIN).",
        "kubectl get namespaces",
        upstream("coredns plugin/kubernetes/namespace_test.go"),
    ),
    "dns.namespace_hidden": Phrase("namespace {namespace} is not served", _hidden, evidence=_HANDLER),
    "dns.nxdomain_endpoint": Phrase(
        "no endpoint {endpoint}", _endpoint, "kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={service}", _HANDLER
    ),
    "dns.nxdomain_no_endpoints": Phrase(
        "{namespace}/{service} is headless without a ready endpoint",
        _no_endpoints,
        "kubectl -n {namespace} get endpointslices -l kubernetes.io/service-name={service}",
        _SPEC,
    ),
    "dns.nxdomain_empty_service": Phrase(
        "{namespace}/{service} has no endpoints",
        "Service {namespace}/{service} has no ready endpoint, and with `ignore empty_service` its name does not exist then.",
        evidence=upstream("coredns plugin/kubernetes/handler_ignore_emptyservice_test.go"),
    ),
    "dns.nxdomain_port": Phrase("no such port", _port, "kubectl -n {namespace} get service {service}", _HANDLER),
    "dns.nxdomain_below_external": Phrase(
        "nothing stands below an ExternalName",
        "Service {namespace}/{service} is an ExternalName: it has no endpoints and no ports, so no name stands below it.",
        evidence=_HANDLER,
    ),
    "dns.nxdomain_external_ip": Phrase(
        "{target} is an address, no name",
        "Service {namespace}/{service} has the externalName {target}. CoreDNS takes it for a name, finds an address and says that {name} "
        "does not exist. A headless Service with an EndpointSlice gives a name to an address.",
        evidence=documented("coredns issues 2164 and 2324; plugin/kubernetes/kubernetes.go findServices"),
    ),
    "dns.nxdomain_kind": Phrase(
        "below {zone} there are svc and pod",
        "Right below {zone} only svc and pod exist, not {label}. The name of a Service is SERVICE.NAMESPACE.svc.{zone}",
        evidence=_PARSE,
    ),
    "dns.nxdomain_too_long": Phrase(
        "too many labels", "{name} has more labels than any name of a Service, a port, an endpoint or a pod.", evidence=_PARSE
    ),
    "dns.nxdomain_reverse": Phrase(
        "nobody has {ip}", "No Service has the clusterIP {ip}, and no ready endpoint has the address.", "dig -x {ip}", _REVERSE
    ),
    "dns.nxdomain_reverse_zone": Phrase(
        "no such name in a reverse zone",
        "{zone} is a reverse zone: below it there is a PTR record for each whole address, and nothing else.",
        "dig -x ADDRESS",
        _REVERSE,
    ),
    "dns.nxdomain_pod_label": Phrase("{label} is no address", _pod_label, evidence=_PODS),
    "dns.pod_disabled": Phrase(
        "pod records are off",
        "This Corefile answers no names below pod (`pods disabled` is the plugin's default), so {name} does not exist.",
        evidence=_PODS,
    ),
    "dns.pod_not_verified": Phrase(
        "no pod of {namespace} has that address",
        "With `pods verified` the record {label} exists only while a pod of namespace {namespace} has that address. None has.",
        "kubectl -n {namespace} get pods -o wide",
        _PODS,
    ),
    "dns.nodata": Phrase("{name} exists, its {type} does not", _nodata, _DIG, _HANDLER),
    # --- the server ---
    "dns.server_block": Phrase(
        "server block {zone}", "Of this Corefile's server blocks {zone} (line {line}) fits {name} best.", evidence=_SERVER
    ),
    "dns.refused_zone": Phrase(
        "no server block for {name}",
        lambda p: f"No server block of this Corefile holds {p['name']}: it serves {_list(p['zones'])}. The answer is REFUSED.",
        _DIG,
        _SERVER,
    ),
    "dns.refused_empty": Phrase(
        "an empty server block", "The server block {zone} names no plugin that could answer: REFUSED.", evidence=_SERVER
    ),
    "dns.refused_class": Phrase("class {cls} is refused", "Only the class IN is served; {cls} is REFUSED.", evidence=_SERVER),
    "dns.no_next_plugin": Phrase(
        "nobody left to ask",
        "The plugin {plugin} passes {name} on, and it is the last of its server block. The answer is SERVFAIL, not NXDOMAIN.",
        evidence=documented("coredns plugin/plugin.go NextOrFailure"),
    ),
    "dns.fallthrough": Phrase(
        "{plugin} lets {name} fall through",
        "The plugin {plugin} does not know {name}, and its `fallthrough` hands the question to the next plugin.",
        evidence=documented("coredns plugin/pkg/fall/fall.go"),
    ),
    "dns.not_synced": Phrase(
        "the objects are not read yet", "CoreDNS has not read all objects yet, so it says SERVFAIL in place of NXDOMAIN.", evidence=_HANDLER
    ),
    "dns.transfer_refused": Phrase(
        "no zone transfer", "A transfer of {zone} is REFUSED: the plugin `transfer` would have to allow it.", evidence=_LOOKUP
    ),
    "dns.truncated": Phrase(
        "the answer does not fit",
        "The answer for {name} is longer than {limit} bytes: {kept} of {records} records are left. "
        "The flag TC tells the client to ask again by TCP.",
        "dig +tcp {name}",
        documented("miekg/dns msg_truncate.go; RFC 2181 section 9"),
    ),
    "dns.shuffled": Phrase(
        "{count} addresses in a random order", _shuffled, evidence=documented("coredns plugin/loadbalance/loadbalance.go")
    ),
    # --- cache ---
    "dns.cache_hit": Phrase("from the cache, {age} s old", _cache_hit, _DIG, _CACHE),
    "dns.cache_stale": Phrase(
        "from the cache, past its time",
        "The kept answer for {name} is {age} s old and past its time; `serve_stale` hands it out with TTL 0.",
        evidence=_CACHE,
    ),
    "dns.cache_stored": Phrase("kept for {ttl} s", "CoreDNS keeps this for {ttl} s and gives every record that TTL.", evidence=_CACHE),
    "dns.cache_disabled": Phrase("not kept", "The Corefile's `disable {kind}` keeps {name} out of the cache.", evidence=_CACHE),
    # --- forward ---
    "dns.forwarded": Phrase("{upstream} answers", _forwarded, "dig @{upstream} {name}", _FORWARD),
    "dns.forward_failed": Phrase(
        "{upstream} does not answer",
        lambda p: f"{p['upstream']} did not answer for {p['name']} ({p['error']}, after {_seconds(p['elapsed'])}).",
        "dig @{upstream} {name}",
        _FORWARD,
    ),
    "dns.forward_gave_up": Phrase(
        "no upstream answers",
        lambda p: f"None of {_list(p['upstreams'])} answered in {_seconds(p['elapsed'])}. CoreDNS says SERVFAIL and does not keep it.",
        evidence=_FORWARD,
    ),
    "dns.forward_mismatch": Phrase(
        "an answer to another question", "{upstream} answered another question than {name}: FORMERR.", evidence=_FORWARD
    ),
    "dns.forward_failover": Phrase(
        "{upstream} says {rcode}", "{upstream} says {rcode}, and `failover` tries the next upstream.", evidence=_FORWARD
    ),
    # --- other plugins ---
    "dns.hosts": Phrase(
        "from the hosts plugin",
        lambda p: f"The Corefile's hosts lists {p['name']}: {_list(p['found'], 'no ' + p['type'])}.",
        evidence=documented("coredns plugin/hosts/hosts.go"),
    ),
    "dns.hosts_unknown": Phrase(
        "hosts does not know {name}",
        "The Corefile's hosts does not list {name} and does not fall through. Without an SOA it cannot deny a name: SERVFAIL.",
        evidence=documented("coredns plugin/hosts/hosts.go"),
    ),
    "dns.rewritten": Phrase(
        "{name} becomes {to}",
        "The rule `{rule}` turns {name} {type} into {to} {to_type}.",
        evidence=documented("coredns plugin/rewrite/name.go"),
    ),
    "dns.template": Phrase(
        "made by a template",
        "The Corefile's template for {pattern} makes the answer for {name}: {rcode}.",
        evidence=documented("coredns plugin/template/template.go"),
    ),
    "dns.template_no_match": Phrase(
        "no template fits",
        "A template holds the zone of {name}, but no pattern fits the name, and it does not fall through: SERVFAIL.",
        evidence=documented("coredns plugin/template/template.go"),
    ),
    "dns.autopath": Phrase(
        "the server walks the search list",
        "The plugin autopath tries the client's search list itself and finds {found}; one query is enough.",
        evidence=documented("coredns plugin/autopath/autopath.go"),
    ),
    "dns.local": Phrase(
        "localhost stays at home", "The plugin local answers {name} itself.", evidence=documented("coredns plugin/local/local.go")
    ),
    # --- the stub resolver ---
    "dns.literal": Phrase("{name} is an address", "{name} is an address already. Nothing is asked.", evidence=_GLIBC),
    "dns.from_hosts": Phrase(
        "{name} is in /etc/hosts",
        lambda p: f"/etc/hosts names {p['name']}: {_list(p['addresses'])}. Nothing is asked.",
        "cat /etc/hosts",
        _KUBELET,
    ),
    "dns.absolute": Phrase(
        "{name} ends in a dot", "{name} ends in a dot, so it is a full name and the search list is left alone.", evidence=_LIBC
    ),
    "dns.no_search": Phrase("no search list", "There is no search list; {name} is asked as it stands.", "cat /etc/resolv.conf", _LIBC),
    "dns.search_first": Phrase("the search list comes first", _search_first, "cat /etc/resolv.conf", _LIBC),
    "dns.absolute_first": Phrase(
        "{name} is tried as it stands first",
        "{name} has {dots} dots, and ndots is {ndots}: glibc asks for it as it stands first, and walks the search list if that fails.",
        "cat /etc/resolv.conf",
        _LIBC,
    ),
    "dns.absolute_only": Phrase(
        "{name} is tried as it stands only",
        "{name} has {dots} dots, and ndots is {ndots}: musl asks for it as it stands and never walks the search list.",
        "cat /etc/resolv.conf",
        _LIBC,
    ),
    "dns.tried": Phrase("names that did not help", _tried, evidence=_LIBC),
    "dns.lost": Phrase("{server} stays silent", _lost, "dig @{server} {name} {type}", _LIBC),
    "dns.unreachable": Phrase(
        "{server} cannot be asked", "{server} cannot be asked: {error}. Nothing waits there on port 53.", "dig @{server} .", _GLIBC
    ),
    "dns.resolved": Phrase(
        "{name} is {full}",
        lambda p: f"{p['name']} is {p['full']}: {_list(p['addresses'])}. It took {_count(p['packets'], 'query', 'queries')}.",
        "getent ahosts {name}",
        _LIBC,
    ),
    "dns.unresolved": Phrase(
        "{name} does not resolve", "{name} does not resolve: {error}, which programs print as “{text}”.", "getent ahosts {name}", _LIBC
    ),
}
