"""The scheduler: which node a pod gets.

Filters as kube-scheduler's: the node's name, unschedulable, taints, node selector and required node affinity, host ports,
required pod (anti-)affinity, topology spread with DoNotSchedule. Scoring is the lab's own and deterministic: the node with
fewest pods of the same controller, then with fewest pods, then by name; kube-scheduler spreads by the same wish and draws
among equals. Requests for CPU and memory are not counted: the lab's nodes have room.
Source: pkg/scheduler/framework/plugins of the modelled release; for DaemonSets pkg/controller/daemon/util.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..errors import Problem
from .ownership import active, controller_of
from .selectors import matches, matches_labels, requirement_matches
from .snapshot import Snapshot
from .store import Changes
from .views import LabelSelector, Node, Pod, Requirement, Taint, Toleration

__all__ = ["daemon_fits", "daemon_node", "daemon_tolerations", "fits", "node_selector_matches", "schedule", "tolerates", "untolerated"]

Doc = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


# --- taints ------------------------------------------------------------------------------------------------------
def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Toleration.ToleratesTaint: an empty effect means every effect, an empty key with Exists every taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value


def untolerated(tolerations: list[Toleration], taints: list[Taint]) -> Taint | None:
    """The first taint that keeps a pod from being scheduled (NoSchedule or NoExecute) and is not tolerated."""
    for taint in taints:
        if taint.effect in ("NoSchedule", "NoExecute") and not any(tolerates(t, taint) for t in tolerations):
            return taint
    return None


# --- node selectors ----------------------------------------------------------------------------------------------
def node_selector_matches(selector: Mapping[str, Any], node: Node) -> bool:
    """A core/v1 NodeSelector: terms are ORed, what stands in a term is ANDed, a term without anything matches nothing."""
    for term in selector.get("nodeSelectorTerms") or ():
        expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
        if not expressions and not fields:
            continue
        labels_fit = all(requirement_matches(_requirement(e), node.labels) for e in expressions)
        if labels_fit and all(requirement_matches(_requirement(f), {"metadata.name": node.name}) for f in fields):
            return True
    return False


def _requirement(term: Mapping[str, Any]) -> Requirement:
    return Requirement(key=str(term.get("key", "")), operator=str(term.get("operator", "")), values=list(term.get("values") or []))


def _affinity_fits(selector: Mapping[str, str], affinity: Mapping[str, Any] | None, node: Node) -> bool:
    if not matches_labels(selector, node.labels):
        return False
    required = ((affinity or {}).get("nodeAffinity") or {}).get(_REQUIRED)
    return required is None or node_selector_matches(required, node)


# --- DaemonSets --------------------------------------------------------------------------------------------------
def daemon_tolerations(given: list[Doc], *, host_network: bool) -> list[Doc]:
    """The tolerations that the DaemonSet controller adds to those of the template."""
    extra = [("not-ready", "NoExecute"), ("unreachable", "NoExecute"), ("disk-pressure", "NoSchedule"), ("memory-pressure", "NoSchedule")]
    extra += [("pid-pressure", "NoSchedule"), ("unschedulable", "NoSchedule")]
    if host_network:
        extra.append(("network-unavailable", "NoSchedule"))
    out = copy.deepcopy(given)
    for name, effect in extra:
        toleration = {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": effect}
        if toleration not in out:
            out.append(toleration)
    return out


def daemon_fits(spec: Mapping[str, Any], node: Node) -> bool:
    """Whether a DaemonSet wants a pod on this node: node name, affinity and taints, not the ports in use."""
    tolerations = [msgspec.convert(t, type=Toleration) for t in spec.get("tolerations") or ()]
    name = spec.get("nodeName")
    if name and name != node.name:
        return False
    if not _affinity_fits(spec.get("nodeSelector") or {}, spec.get("affinity"), node):
        return False
    return untolerated(tolerations, node.spec.taints) is None


def daemon_node(pod: Pod) -> str:
    """The node of a daemon pod: where it is bound, else where its affinity sends it."""
    if pod.spec.node_name:
        return pod.spec.node_name
    required = ((pod.spec.affinity or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name" and field.get("operator") == "In" and field.get("values"):
                return str(field["values"][0])
    return ""


# --- the cycle ---------------------------------------------------------------------------------------------------
class _Cluster:
    """Nodes and what runs on them, updated as pods are placed."""

    def __init__(self, snapshot: Snapshot):
        self.snapshot = snapshot
        self.nodes = snapshot.list(Node)
        self.on: dict[str, list[Pod]] = {n.name: [] for n in self.nodes}
        self.kin: dict[tuple[str, tuple[str, str, str]], int] = {}
        self.wary: list[tuple[str, Pod]] = []  # placed pods that shun others
        self.labels = {n.name: n.labels for n in self.nodes}
        for pod in snapshot.list(Pod):
            if pod.spec.node_name in self.on and not pod.terminated:
                self.place(pod, pod.spec.node_name)

    def place(self, pod: Pod, node: str) -> None:
        self.on[node].append(pod)
        if _terms(pod, "podAntiAffinity"):
            self.wary.append((node, pod))
        owner = _owner(pod)
        if owner is not None:
            self.kin[node, owner] = self.kin.get((node, owner), 0) + 1

    def score(self, pod: Pod, node: Node) -> tuple[int, int, str]:
        owner = _owner(pod)
        same = self.kin.get((node.name, owner), 0) if owner is not None else 0
        return same, len(self.on[node.name]), node.name


def _owner(pod: Pod) -> tuple[str, str, str] | None:
    found = controller_of(pod.metadata)
    return None if found is None else (pod.namespace, found[0], found[1])


def fits(pod: Pod, node: Node, cluster: _Cluster) -> str:
    """Why a node does not take a pod, in kube-scheduler's words; "" if it does."""
    if node.spec.unschedulable and not any(tolerates(t, _UNSCHEDULABLE) for t in pod.spec.tolerations):
        return "node(s) were unschedulable"
    taint = untolerated(pod.spec.tolerations, node.spec.taints)
    if taint is not None:
        return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    if not _affinity_fits(pod.spec.node_selector, pod.spec.affinity, node):
        return "node(s) didn't match Pod's node affinity/selector"
    if not _ports_free(pod, cluster.on[node.name]):
        return "node(s) didn't have free ports for the requested pod ports"
    spread = _spread_breaks(pod, node, cluster)
    if spread:
        return spread
    return _pod_affinity_breaks(pod, node, cluster)


def _host_ports(pod: Pod) -> list[tuple[str, str, int]]:
    return [(p.host_ip or "0.0.0.0", p.protocol, p.host_port) for c in pod.spec.running_containers for p in c.ports if p.host_port]


def _ports_free(pod: Pod, others: list[Pod]) -> bool:
    """HostPortInfo.CheckConflict: 0.0.0.0 conflicts with every address of the same protocol and port."""
    wanted = _host_ports(pod)
    if not wanted:
        return True
    for other in others:
        for ip, protocol, port in _host_ports(other):
            for want_ip, want_protocol, want_port in wanted:
                same_ip = ip == want_ip or "0.0.0.0" in (ip, want_ip)
                if port == want_port and protocol == want_protocol and same_ip:
                    return False
    return True


def _term_namespaces(term: Mapping[str, Any], pod: Pod, snapshot: Snapshot) -> Callable[[str], bool]:
    """Which namespaces an affinity term looks into; its own pod's if it names none."""
    names, selector = set(term.get("namespaces") or ()), term.get("namespaceSelector")
    if not names and selector is None:
        return lambda namespace: namespace == pod.namespace
    chosen = None if selector is None else msgspec.convert(selector, type=LabelSelector)
    return lambda namespace: namespace in names or (chosen is not None and matches(chosen, snapshot.namespace_labels(namespace)))


def _term_matches(term: Mapping[str, Any], owner: Pod, other: Pod, snapshot: Snapshot) -> bool:
    selector = term.get("labelSelector")
    chosen = None if selector is None else msgspec.convert(selector, type=LabelSelector)
    return matches(chosen, other.labels) and _term_namespaces(term, owner, snapshot)(other.namespace)


def _terms(pod: Pod, kind: str) -> list[Mapping[str, Any]]:
    return list(((pod.spec.affinity or {}).get(kind) or {}).get(_REQUIRED) or ())


def _pod_affinity_breaks(pod: Pod, node: Node, cluster: _Cluster) -> str:
    wanted, shunned = _terms(pod, "podAffinity"), _terms(pod, "podAntiAffinity")
    if not wanted and not shunned and not cluster.wary:
        return ""
    placed = [(name, other) for name, group in cluster.on.items() for other in group] if wanted or shunned else []

    def same_domain(key: str, name: str) -> bool:
        return key in node.labels and cluster.labels[name].get(key) == node.labels[key]

    for name, other in cluster.wary:
        for term in _terms(other, "podAntiAffinity"):
            if same_domain(term.get("topologyKey", ""), name) and _term_matches(term, other, pod, cluster.snapshot):
                return "node(s) didn't satisfy existing pods anti-affinity rules"
    for term in shunned:
        key = term.get("topologyKey", "")
        if any(same_domain(key, name) and _term_matches(term, pod, other, cluster.snapshot) for name, other in placed):
            return "node(s) didn't match pod anti-affinity rules"
    for term in wanted:
        key = term.get("topologyKey", "")
        found = [name for name, other in placed if _term_matches(term, pod, other, cluster.snapshot)]
        first = not found and _term_matches(term, pod, pod, cluster.snapshot)  # the first pod of a group may start it
        if not any(same_domain(key, name) for name in found) and not (first and key in node.labels):
            return "node(s) didn't match pod affinity rules"
    return ""


def _spread_breaks(pod: Pod, node: Node, cluster: _Cluster) -> str:
    document = cluster.snapshot.document("Pod", pod.name, pod.namespace) or {}
    for rule in (document.get("spec") or {}).get("topologySpreadConstraints") or ():
        if rule.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key, selector = rule.get("topologyKey", ""), rule.get("labelSelector")
        if key not in node.labels:
            return "node(s) didn't match pod topology spread constraints (missing required label)"
        chosen = None if selector is None else msgspec.convert(selector, type=LabelSelector)
        counts: dict[str, int] = {}
        for candidate in cluster.nodes:
            if key in candidate.labels and _affinity_fits(pod.spec.node_selector, pod.spec.affinity, candidate):
                group = [p for p in cluster.on[candidate.name] if p.namespace == pod.namespace and matches(chosen, p.labels)]
                counts[candidate.labels[key]] = counts.get(candidate.labels[key], 0) + len(group)
        mine = 1 if matches(chosen, pod.labels) else 0
        least = min(counts.values(), default=0)
        if len(counts) < int(rule.get("minDomains") or 1):
            least = 0
        if counts.get(node.labels[key], 0) + mine - least > int(rule.get("maxSkew") or 1):
            return "node(s) didn't match pod topology spread constraints"
    return ""


def schedule(snapshot: Snapshot) -> Changes:
    """Bind every pod that waits for a node, by (namespace, name). One that fits nowhere stays Pending and becomes a finding."""
    waiting = [p for p in snapshot.list(Pod) if not p.spec.node_name and active(p)]
    if not waiting:
        return Changes()
    cluster = _Cluster(snapshot)
    writes: list[Doc] = []
    findings: list[Problem] = []
    for pod in waiting:
        document = copy.deepcopy(snapshot.document("Pod", pod.name, pod.namespace) or {})
        gates = (document.get("spec") or {}).get("schedulingGates")
        if gates:
            said = f"Scheduling is blocked due to non-empty scheduling gates: {', '.join(g.get('name', '') for g in gates)}"
            _condition(document, "SchedulingGated", said)
            writes.append(document)
            continue
        refused = {n.name: fits(pod, n, cluster) for n in cluster.nodes}
        possible = [n for n in cluster.nodes if not refused[n.name]]
        if possible:
            chosen = min(possible, key=lambda n: cluster.score(pod, n))
            document["spec"]["nodeName"] = chosen.name
            _condition(document, "", "")
            cluster.place(pod, chosen.name)
        else:
            said = _nowhere(list(refused.values()))
            _condition(document, "Unschedulable", said)
            findings.append(Problem(said, "spec", f"Pod {pod.key}"))
        writes.append(document)
    return Changes(write=tuple(writes), findings=tuple(findings))


def _nowhere(reasons: list[str]) -> str:
    """kube-scheduler's FitError: "0/2 nodes are available: 1 node(s) had ..., 1 node(s) were unschedulable."."""
    if not reasons:
        return "no nodes available to schedule pods"
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    parts = sorted(f"{n} {reason}" for reason, n in counts.items())
    return f"0/{len(reasons)} nodes are available: {', '.join(parts)}."


def _condition(document: Doc, reason: str, message: str) -> None:
    """Set PodScheduled; an empty reason means it is."""
    status = document.setdefault("status", {})
    new: Doc = {"type": "PodScheduled", "status": "False" if reason else "True"}
    if reason:
        new.update(reason=reason, message=message)
    others = [c for c in status.get("conditions") or [] if c.get("type") != "PodScheduled"]
    status["conditions"] = [*others, new]
    if not status.get("phase"):
        status["phase"] = "Pending"
