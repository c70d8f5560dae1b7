"""Words for the policy chapter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .phrase import Phrase, documented, upstream

__all__ = ["PHRASES"]

_TYPES = documented("kubernetes/api networking/v1 types.go")
_DOCS = documented("kubernetes.io/docs/concepts/services-networking/network-policies")
_E2E = upstream("kubernetes/kubernetes test/e2e/network/netpol/network_policy.go")
_ROUTER = upstream("cloudnativelabs/kube-router pkg/controllers/netpol/{policy,pod}.go")
_SELECTOR = documented("apimachinery pkg/labels/selector.go")


def _way(p: Mapping[str, Any]) -> str:
    return "reach it" if p["direction"] == "ingress" else "leave it"


def _place(p: Mapping[str, Any]) -> str:
    """ "policy data/db, ingress rule 1, from[0].podSelector"."""
    path = f", {p['path']}" if p.get("path") else ""
    return f"policy {p['policy']}, {p['direction']} rule {p['rule']}{path}"


def _place_start(p: Mapping[str, Any]) -> str:
    text = _place(p)
    return text[0].upper() + text[1:]


PHRASES: dict[str, Phrase] = {
    # --- the verdict ---
    "policy.allowed": Phrase(
        "{src} may reach {dst}",
        "{src} to {dst}, {asked}: allowed ({engine}). The source's egress and the destination's ingress both consent.",
        evidence=_TYPES,
    ),
    "policy.denied": Phrase(
        "the policies stop {src} on its way to {dst}",
        "{src} to {dst}, {asked}: denied by {by} ({engine}).",
        evidence=_TYPES,
    ),
    # --- what decided, per direction ---
    "policy.not_isolated": Phrase(
        "no policy isolates {pod} for {direction}",
        lambda p: f"No policy selects {p['pod']} for {p['direction']}, so everything may {_way(p)}.",
        "kubectl get networkpolicy -A",
        _TYPES,
    ),
    "policy.allowed_by": Phrase(
        "{policy} admits it, {direction} rule {rule}",
        "{pod} is isolated for {direction}. Policy {policy}, {direction} rule {rule} admits this ({peer}; {ports}).",
        "kubectl describe networkpolicy",
        _TYPES,
    ),
    "policy.allowed_by_other_direction": Phrase(
        "{policy} admits it by an {rule_direction} rule",
        "{pod} is isolated for {direction}, and no {direction} rule admits this. kube-router keeps one chain per policy for both "
        "directions, and {rule_direction} rule {rule} of {policy} marks the packet there ({peer}; {ports}). The API text would deny it.",
        evidence=_ROUTER,
    ),
    "policy.hairpin_joined": Phrase(
        "one consent is enough for {pod} to itself",
        "{pod} talks to itself through a Service. kube-router runs its one chain once for both directions, so the consent of the other "
        "direction is enough.",
        evidence=_ROUTER,
    ),
    "policy.denied_ingress": Phrase(
        "the ingress policies of {pod} admit none of this",
        "{pod} is isolated for ingress by {policies}, and no rule admits this.",
        "kubectl describe networkpolicy",
        _TYPES,
    ),
    "policy.denied_egress": Phrase(
        "the egress policies of {pod} admit none of this",
        "{pod} is isolated for egress by {policies}, and no rule admits this.",
        "kubectl describe networkpolicy",
        _TYPES,
    ),
    # --- where policies do not count ---
    "policy.not_a_pod": Phrase(
        "{pod} is not a pod",
        "{pod} is not a pod, and policies isolate pods only. Its {direction} needs no consent.",
        evidence=_TYPES,
    ),
    "policy.host_network": Phrase(
        "{pod} uses its node's network",
        "{pod} runs with hostNetwork. The API leaves open what that means; the common answer, taken here, is that its traffic is the "
        "node's: no policy selects it.",
        evidence=_DOCS,
    ),
    "policy.terminated": Phrase(
        "{pod} has finished",
        "{pod} has finished (Succeeded or Failed). Its address may belong to another pod by now, so no policy counts it.",
        evidence=_ROUTER,
    ),
    "policy.no_address": Phrase(
        lambda p: f"{p.get('pod') or p.get('found')} has no address yet",
        lambda p: f"{p.get('pod') or p.get('found')} has no address in this family, so nothing that matches addresses can name it.",
        evidence=_ROUTER,
    ),
    "policy.self": Phrase(
        "{pod} talks to itself",
        "{pod} talks to itself by its own address. The packet never leaves the pod, and a pod cannot block access to itself.",
        evidence=_DOCS,
    ),
    "policy.self_hairpin": Phrase(
        "{pod} talks to itself through a Service",
        "{pod} talks to itself through a Service. Undefined by the API: engines differ. Taken as allowed here, since a pod cannot block "
        "access to itself.",
        evidence=documented("kubernetes/kubernetes#95879"),
    ),
    "policy.from_local_node": Phrase(
        "the node of {pod} may always reach it",
        "The source is the node that {pod} runs on. A pod's own node may always reach it: the kubelet's probes depend on that.",
        evidence=_TYPES,
    ),
    "policy.to_local_node": Phrase(
        "{pod} may always reach its node",
        "The destination is the node that {pod} runs on. Traffic to and from a pod's own node is always allowed.",
        evidence=_DOCS,
    ),
    "policy.icmp_always": Phrase(
        "kube-router lets ICMP pass",
        "kube-router accepts ICMP echo requests, destination-unreachable and time-exceeded for every pod, before it looks at any policy.",
        evidence=upstream("cloudnativelabs/kube-router pkg/controllers/netpol/npc_iptables.go: ensureCommonPolicyChain"),
    ),
    # --- what failed ---
    "policy.no_rules": Phrase(
        "{policy} has no {direction} rule",
        "Policy {policy} has no {direction} rule: it isolates and admits nothing.",
        evidence=_TYPES,
    ),
    "policy.selector_term_failed": Phrase(
        "{term} does not hold",
        lambda p: f"{_place_start(p)}: {p['term']} does not hold: {p['found']}.",
        evidence=_SELECTOR,
    ),
    "policy.other_namespace": Phrase(
        "wrong namespace",
        lambda p: f"{_place_start(p)}: without a namespaceSelector this means pods of {p['term']} only; the pod is in {p['found']}.",
        evidence=_TYPES,
    ),
    "policy.selectors_mean_pods": Phrase(
        "{found} has no labels",
        lambda p: f"{_place_start(p)}: selectors mean pods, and {p['found']} is none; only an ipBlock could name it.",
        evidence=_TYPES,
    ),
    "policy.ip_outside": Phrase(
        "{found} is outside {term}",
        lambda p: f"{_place_start(p)}: {p['found']} is not in {p['term']}.",
        evidence=_TYPES,
    ),
    "policy.ip_excepted": Phrase(
        "{found} is in the exception {term}",
        lambda p: f"{_place_start(p)}: {p['found']} is in the exception {p['term']}.",
        evidence=_TYPES,
    ),
    "policy.block_means_outside": Phrase(
        "ipBlock does not name pods",
        lambda p: f"{_place_start(p)}: this engine lets an ipBlock name addresses outside the cluster only, and {p['found']} is a pod.",
        evidence=_DOCS,
    ),
    "policy.invalid_peer": Phrase(
        "an entry that names nobody",
        lambda p: f"{_place_start(p)}: the API server would refuse this entry (no field, or an ipBlock with a selector); it names nobody.",
        evidence=_TYPES,
    ),
    "policy.port_mismatch": Phrase(
        "{found} is not {term}",
        lambda p: f"{_place_start(p)}: it admits {p['term']}; this is {p['found']}.",
        evidence=_TYPES,
    ),
    "policy.port_name_unknown": Phrase(
        "nobody declares {term}",
        lambda p: f"{_place_start(p)}: {p['term']} is a name, and {p['found']} declares no such port, so it admits nothing.",
        evidence=_TYPES,
    ),
    "policy.address_sets": Phrase(
        "the compiled sets say no",
        lambda p: (
            f"{_place_start(p)}: the API text would admit this. kube-router puts a rule's ipBlocks into one set, where the longest "
            "prefix decides, and resolves port names before it knows the destination. Its sets do not hold this packet."
        ),
        evidence=_ROUTER,
    ),
    "policy.fix": Phrase(
        "it would pass if {change}",
        "It would pass the {direction} of {pod} if {change} (policy {policy}, {direction} rule {rule}).",
    ),
    # --- undefined, and who enforces ---
    "policy.undefined_icmp": Phrase(
        "{protocol} is undefined by the API",
        "{protocol}: undefined by the API: engines differ. Policies speak of TCP, UDP and SCTP; {engine} lets rules without ports admit "
        "it, and rules with ports never.",
        evidence=_DOCS,
    ),
    "policy.undefined_ip_block": Phrase(
        "an ipBlock names a pod",
        "An ipBlock admitted the address of pod {pod}. Undefined by the API: engines differ; {engine} lets an ipBlock match pods.",
        evidence=_E2E,
    ),
    "policy.not_enforced": Phrase(
        "{network} enforces no policy",
        "{network} enforces no NetworkPolicy: the objects are accepted and nothing happens. The policies themselves say: {verdict}.",
        evidence=documented("kubernetes.io, Network Policies: without a controller that implements it, the resource has no effect"),
    ),
    # --- in the walk: what the programmed rules did ---
    "policy.rejected": Phrase(
        "{chain} rejects it",
        "No policy of {pod} has marked the packet, so its chain {chain} rejects it. The sender gets an ICMP port-unreachable and sees "
        "connection refused, not a timeout.",
        "iptables -S {chain}",
        upstream("cloudnativelabs/kube-router pkg/controllers/netpol/pod.go: rule to REJECT traffic"),
    ),
    "policy.accepted": Phrase(
        "{chain} lets it pass",
        "The packet carries the mark of the policies of {pod}: chain {chain} accepts it.",
        "iptables -S {chain}",
        upstream("cloudnativelabs/kube-router pkg/controllers/netpol/pod.go: set mark to ACCEPT traffic"),
    ),
}
