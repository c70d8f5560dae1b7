"""Words for the services chapter.

Parameters: `service` is "ns/name", `endpoint` "ip:port", `vip` the address that was asked for; a parameter that is
not given leaves its part of the sentence out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .phrase import Phrase, documented, measured, upstream

__all__ = ["PHRASES"]

PROXIER = "kubernetes 1.34, pkg/proxy/iptables/proxier_test.go"
SLICES = documented("kubernetes 1.34, staging/src/k8s.io/endpointslice (utils.go, reconciler.go)")
KERNEL = "Linux 6.18, iptables 1.8.9, kube-proxy's rules in network namespaces"
SLICES_OF = "kubectl get endpointslices -n {ns} -l kubernetes.io/service-name={name}"

Params = Mapping[str, Any]


def _split(p: Params) -> tuple[str, str]:
    namespace, _, name = str(p.get("service", "")).partition("/")
    return namespace, name


def _command(template: str) -> Callable[[Params], str]:
    def fill(p: Params) -> str:
        namespace, name = _split(p)
        pod_namespace, _, pod = str(p.get("pod", "")).partition("/")
        return template.format(ns=namespace, name=name, pod=pod, pod_ns=pod_namespace)

    return fill


def _of(p: Params, key: str, words: str) -> str:
    """`words` with the value in it, or nothing."""
    return words.format(p[key]) if p.get(key) not in (None, "") else ""


def _port(p: Params) -> str:
    return _of(p, "port", ", port {}")


def _clusterip(p: Params) -> str:
    text = f"{p['vip']} is no machine: it is the ClusterIP of Service {p['service']}{_port(p)}."
    if p.get("endpoint"):
        text += f" A rule of kube-proxy writes the endpoint {p['endpoint']} into the packet instead"
        text += _of(p, "probability", ", chosen with probability {}") + "."
    return text


def _nodeport(p: Params) -> str:
    text = f"Port {p['node_port']} of this node belongs to Service {p['service']}{_port(p)}."
    if p.get("endpoint"):
        text += f" A rule of kube-proxy writes the endpoint {p['endpoint']} into the packet; it may be on any node."
    return text


def _nearly(p: Params) -> str:
    return f"Service {p['service']} selects {p['selector']}, and no pod has {p['asked']}. Pod {p['pod']} has {p['nearest']}."


def _target_missing(p: Params) -> str:
    text = f"Port {p['port']} of Service {p['service']} asks for a container port named {p['target']!r}, and pod {p['pod']} has none."
    if p.get("nearest"):
        return f"{text} It has one named {p['nearest']!r}."
    return f"{text} It names {p['names']}." if p.get("names") else f"{text} It names no port."


NAT = "iptables -t nat -S KUBE-SERVICES"
PODS = "kubectl get pods -n {ns} --show-labels"
POD = "kubectl describe pod -n {pod_ns} {pod}"

PHRASES: dict[str, Phrase] = {
    # --- what happens to a packet ------------------------------------------------------------------------------
    "service.clusterip": Phrase(
        lambda p: (
            f"Service {p['service']}: {p['vip']} becomes {p['endpoint']}" if p.get("endpoint") else f"Service {p['service']} at {p['vip']}"
        ),
        _clusterip,
        NAT,
        upstream(f"{PROXIER}: TestClusterIPGeneral"),
    ),
    "service.nodeport": Phrase(
        lambda p: f"Service {p['service']}: node port {p['node_port']}" + _of(p, "endpoint", " becomes {}"),
        _nodeport,
        "iptables -t nat -S KUBE-NODEPORTS",
        upstream(f"{PROXIER}: TestNodePorts"),
    ),
    "service.external": Phrase(
        lambda p: f"Service {p['service']}: {p['vip']}" + _of(p, "endpoint", " becomes {}"),
        lambda p: (
            f"{p['vip']} is an address of Service {p['service']}{_port(p)} for clients outside. This node catches it, "
            "whoever asks, so the packet does not leave for a load balancer."
        ),
        NAT,
        upstream(f"{PROXIER}: TestLoadBalancer"),
    ),
    "service.reply": Phrase(
        lambda p: f"the answer gets {p['vip']} back as its source",
        lambda p: (
            f"Connection tracking remembers what was written: the answer of {p['endpoint']} leaves with the source {p['vip']}, "
            "so the client sees the address that it asked."
        ),
        "conntrack -L",
        measured(KERNEL),
    ),
    "service.affinity": Phrase(
        lambda p: f"session affinity: {p['source']} stays with {p['endpoint']}",
        lambda p: (
            f"Service {p['service']} keeps a client on one endpoint for {p['seconds']} seconds. This node has seen "
            f"{p['source']} go to {p['endpoint']}. Another node keeps a list of its own."
        ),
        NAT,
        measured(KERNEL),
    ),
    "service.mark": Phrase(
        "kube-proxy marks the packet for masquerade",
        lambda p: (
            "The mark says: on the way out, write this node's own address as the source. "
            + (str(p["because"]) if p.get("because") else "Whoever gets the packet then answers to this node, which knows what to undo.")
        ),
        "iptables -t nat -S KUBE-MARK-MASQ",
        upstream(f"{PROXIER}: TestInternalExternalMasquerade"),
    ),
    "service.masquerade": Phrase(
        lambda p: f"the source becomes {p['after']}" if p.get("after") else "the source becomes this node's",
        lambda p: (
            "The packet carries kube-proxy's mark, so it leaves with the address of the interface it goes out by"
            + _of(p, "after", ": {}")
            + "."
            + _of(p, "before", " The server no longer sees {}.")
        ),
        "iptables -t nat -S KUBE-POSTROUTING",
        measured(KERNEL),
    ),
    "service.hairpin": Phrase(
        lambda p: f"Service {p['service']} leads the pod back to itself",
        lambda p: (
            f"The endpoint that was chosen, {p['endpoint']}, is the client itself. Without another source address it would see "
            "its own as the sender and drop the packet, so the packet is marked for masquerade."
        ),
        "bridge -d link show",
        measured(KERNEL),
    ),
    "service.short_circuit": Phrase(
        lambda p: f"traffic from inside ignores externalTrafficPolicy of Service {p['service']}",
        lambda p: (
            f"Service {p['service']} serves clients outside from this node's endpoints only. A pod or the node itself reaches all "
            "endpoints: the packet is treated as if it had gone out and come back by any node."
        ),
        NAT,
        upstream(f"{PROXIER}: TestExternalTrafficPolicyLocal"),
    ),
    "service.no_endpoints": Phrase(
        lambda p: f"Service {p['service']} has no ready endpoint",
        lambda p: (
            f"The Service has no ready endpoint: nobody stands behind {p['service']}{_port(p)}. kube-proxy has no address to write "
            "into the packet and refuses it at once, with an ICMP error."
        ),
        _command(SLICES_OF),
        measured(KERNEL),
    ),
    "service.no_local_endpoints": Phrase(
        lambda p: f"Service {p['service']} has no endpoint on this node",
        lambda p: (
            f"Service {p['service']}{_port(p)} has endpoints, but none on {p.get('node') or 'this node'}, and its traffic policy is "
            "Local. The packet is dropped without a word; the client waits."
        ),
        _command(SLICES_OF + " -o wide"),
        measured(KERNEL),
    ),
    "service.source_range": Phrase(
        lambda p: f"{p['source']} is not in the source ranges of Service {p['service']}",
        lambda p: (
            f"loadBalancerSourceRanges of Service {p['service']} lists "
            f"{p.get('ranges') or 'who may come'}; {p['source']} is not in it. Its packets to {p['vip']} are dropped."
            + _of(p, "node_port", " Node port {} of the same Service would let them in.")
        ),
        "iptables -S KUBE-PROXY-FIREWALL",
        upstream(f"{PROXIER}: TestLoadBalancer"),
    ),
    "service.health_check": Phrase(
        lambda p: f"health check of Service {p['service']}",
        lambda p: (
            f"A load balancer asks port {p['port']} whether this node has endpoints of Service {p['service']}. "
            f"kube-proxy answers {p['status']}: {p['local_endpoints']} of them are here and ready."
        ),
        "curl http://localhost:{port}",
        upstream(f"{PROXIER}: TestHealthCheckNodePort"),
    ),
    "service.no_rule": Phrase(
        lambda p: f"no rule for {p['vip']} port {p['port']}",
        lambda p: (
            f"{p['vip']} is a Service address, but no Service has port {p['port']} there. In iptables mode no rule catches the packet: "
            "it goes to the default route like any other address."
        ),
        NAT,
        measured(KERNEL),
    ),
    "service.no_node_port_here": Phrase(
        lambda p: f"no node port {p['node_port']} at {p['vip']}",
        lambda p: (
            f"{p['node_port']} is a node port of Service {p['service']}, but {p['vip']} is no address at which kube-proxy serves node ports on "
            f"{p['node']}: " + (
                f"nodePortAddresses is {p['addresses']}." if p.get("addresses") else
                "in nftables mode these are the node's own addresses in the API, and never localhost." if p.get("mode") == "nftables" else
                "at localhost it does so for IPv4 only, and only if localhostNodePorts is on."
            )
        ),
        "kubectl get nodes -o wide",
        measured("Linux 6.18, kube-proxy's rules in network namespaces: node ports at localhost and at a bridge's address, in both modes"),
    ),
    "service.no_ping": Phrase(
        lambda p: f"{p['vip']} answers no ping",
        lambda p: (
            f"{p['vip']} is no machine: it is the ClusterIP of Service {p['service']}. kube-proxy's rules are for the Service's ports, and a "
            "ping has none. " + (
                "In nftables mode what goes to a ClusterIP and fits no rule is refused."
                if p.get("refused") else "In iptables mode it goes to the default route like any other address, and nobody there answers."
            )
        ),
        "kubectl get endpointslices -A",
        measured(f"{KERNEL}: ping of a ClusterIP"),
    ),
    "service.balancer_alone": Phrase(
        lambda p: f"kube-proxy leaves {p['vip']} to the load balancer",
        lambda p: (
            f"{p['vip']} is the address of Service {p['service']} at its load balancer, with ipMode Proxy. kube-proxy has no rule for it: also "
            "from inside, packets leave the cluster for the balancer, and it is the balancer that must answer."
        ),
        _command("kubectl get service -n {ns} {name} -o jsonpath={{.status.loadBalancer}}"),
        documented("KEP-1860: kube-proxy and the address of a load balancer, ipMode"),
    ),
    "service.port_refused": Phrase(
        lambda p: f"no Service has port {p['port']} at {p['vip']}",
        lambda p: (
            f"{p['vip']} is a Service address, but no Service has port {p['port']} there. In nftables mode kube-proxy refuses what goes to a "
            "ClusterIP and stands in none of its maps; in iptables mode the packet would go to the default route."
        ),
        "nft list chain ip kube-proxy cluster-ips-check",
        measured("Linux 6.18, nftables 1.0.6, kube-proxy's rules in network namespaces: an unused port is refused at once (ICMP 3/3)"),
    ),
    "service.not_proxied": Phrase(
        lambda p: f"Service {p['service']} has no rules",
        lambda p: f"kube-proxy makes no rule for Service {p['service']}: {p['why']}.",
        "kubectl get services -A",
        upstream(f"{PROXIER}: TestBuildServiceMapServiceHeadless"),
    ),
    # --- why there is no endpoint ------------------------------------------------------------------------------
    "service.headless": Phrase(
        lambda p: f"Service {p['service']} is headless",
        "Service {service} has no address of its own (clusterIP: None). Its name leads straight to the pods, without a kube-proxy rule.",
        _command("kubectl get service -n {ns} {name}"),
        upstream(f"{PROXIER}: TestBuildServiceMapServiceHeadless"),
    ),
    "service.external_name": Phrase(
        lambda p: f"Service {p['service']} is another name for {p['name']}",
        "Service {service} is of type ExternalName: in DNS it is an alias of {name}. It has no address and no endpoint.",
        _command("kubectl get service -n {ns} {name}"),
        upstream(f"{PROXIER}: TestBuildServiceMapServiceTypeExternalName"),
    ),
    "service.no_selector": Phrase(
        lambda p: f"Service {p['service']} has no selector",
        "Service {service} has no selector, so nobody fills in its endpoints. They have to be written by hand, as an EndpointSlice.",
        _command(SLICES_OF),
        SLICES,
    ),
    "service.slices_not_ready": Phrase(
        lambda p: f"no EndpointSlice of Service {p['service']} lists a ready endpoint",
        "Service {service} has no selector. EndpointSlices were written for it, but none lists a ready endpoint for every port.",
        _command(SLICES_OF + " -o yaml"),
        SLICES,
    ),
    "service.slices_stale": Phrase(
        lambda p: f"the EndpointSlices of Service {p['service']} do not list its ready pods",
        "Pods of Service {service} are ready, but its EndpointSlices do not list them: they are old, or nobody updates them.",
        _command(SLICES_OF + " -o yaml"),
        SLICES,
    ),
    "service.selector_matches_nothing": Phrase(
        lambda p: f"no pod has the labels that Service {p['service']} selects",
        lambda p: (
            f"Service {p['service']} selects {p['selector']}. "
            + (
                f"No pod in namespace {p['namespace']} has these labels."
                if p["pods"]
                else f"There is no pod in namespace {p['namespace']}."
            )
        ),
        _command(PODS),
        SLICES,
    ),
    "service.selector_nearly_matches": Phrase(
        lambda p: f"Service {p['service']} selects {p['asked']}; pod {p['pod']} has {p['nearest']}",
        _nearly,
        _command(PODS),
        SLICES,
    ),
    "service.selector_in_other_namespace": Phrase(
        lambda p: f"the pods of Service {p['service']} are in another namespace",
        "Service {service} selects {selector}. Such pods are in {found_in}, but a Service selects only in its own namespace, {namespace}.",
        _command("kubectl get pods -A --show-labels"),
        SLICES,
    ),
    "service.pod_not_selected": Phrase(
        lambda p: f"pod {p['pod']} does not have the labels of Service {p['service']}",
        lambda p: f"Service {p['service']} selects {p['selector'] or 'nothing'}; pod {p['pod']} has {p['labels'] or 'no labels'}.",
        _command(PODS),
        SLICES,
    ),
    "service.endpoint_not_ready": Phrase(
        lambda p: f"pod {p['pod']} is not ready",
        "Service {service} selects pod {pod}, but the pod is not ready ({condition}). It is listed with ready: false and gets no traffic.",
        _command(POD),
        SLICES,
    ),
    "service.endpoint_terminating": Phrase(
        lambda p: f"pod {p['pod']} is shutting down",
        lambda p: (
            f"Pod {p['pod']} is being deleted. Service {p['service']} sends it no new connection, "
            + ("unless nothing but terminating pods is left." if p.get("serving") else "not even as the last one, for it is not ready any more.")
        ),
        _command(POD),
        upstream(f"{PROXIER}: TestTerminatingEndpointsTrafficPolicyCluster"),
    ),
    "service.endpoint_terminated": Phrase(
        lambda p: f"pod {p['pod']} has ended",
        "Pod {pod} has run to its end ({phase}). Its address may belong to another pod by now, so Service {service} does not list it.",
        _command(POD),
        SLICES,
    ),
    "service.endpoint_no_address": Phrase(
        lambda p: f"pod {p['pod']} has no address yet",
        "Service {service} selects pod {pod}, but the pod has no address ({phase}): it is not on a node, or its network is not set up.",
        _command(POD),
        SLICES,
    ),
    "service.endpoint_node_missing": Phrase(
        lambda p: f"the node of pod {p['pod']} does not exist",
        "Pod {pod} is on node {node!r}, and there is no such Node object. Service {service} leaves it out until there is.",
        _command("kubectl get nodes"),
        SLICES,
    ),
    "service.endpoint_wrong_family": Phrase(
        lambda p: f"pod {p['pod']} has no {p['families']} address",
        "Service {service} is {families}; pod {pod} has {addresses}.",
        _command("kubectl get pod -n {pod_ns} {pod} -o jsonpath='{{.status.podIPs}}'"),
        SLICES,
    ),
    "service.target_port_missing": Phrase(
        lambda p: f"pod {p['pod']} has no port named {p['target']}",
        _target_missing,
        _command(POD),
        SLICES,
    ),
    "service.target_port_protocol": Phrase(
        lambda p: f"port {p['target']} of pod {p['pod']} is {p['found']}, not {p['protocol']}",
        "Port {port} of Service {service} asks for a {protocol} port named {target!r}. Pod {pod} has a port of that name, but for {found}.",
        _command(POD),
        SLICES,
    ),
}
