"""What ServiceExplorer shows, as plain data: a pure function of a cluster, one edited Service, the pods' states, a client and a node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ..cluster.service_rules import service_rules
from ..errors import KubenetError, LoadError
from ..explain import summary
from ..objects.views import Node, Pod, Service
from ..plots.selector_figure import candidates, service_of
from ..plots.traffic_figure import OUTSIDE, Way, ways_of

__all__ = ["FIELDS", "STATES", "TYPES", "Edited", "explorer_view", "fields_of"]

TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "headless")
STATES = ("ready", "not ready", "terminating")
#: the fields that can be edited, in order
FIELDS = ("type", "selector", "port", "targetPort", "externalTrafficPolicy", "internalTrafficPolicy", "sessionAffinity")
MOST_RULES = 40


@dataclass(frozen=True, slots=True)
class Edited:
    """A Service as it stands in the form: every value is text, as it was typed. `pods`: states that differ from the cluster's."""

    key: str
    fields: Mapping[str, str]
    pods: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def fields_of(service: Service) -> dict[str, str]:
    """The form of a Service's first port."""
    spec = service.spec
    port = spec.ports[0] if spec.ports else None
    return {
        "type": "headless" if spec.cluster_ip == "None" else spec.type,
        "selector": ", ".join(f"{k}={v}" for k, v in sorted(spec.selector.items())),
        "port": str(port.port) if port else "", "targetPort": str(port.target_port or port.port) if port else "",
        "externalTrafficPolicy": spec.external_traffic_policy or "Cluster",
        "internalTrafficPolicy": spec.internal_traffic_policy or "Cluster",
        "sessionAffinity": spec.session_affinity or "None",
    }  # fmt: skip


def _selector(text: str) -> dict[str, str]:
    """ "a=b, c=d". Raises ValueError with what is wrong."""
    out: dict[str, str] = {}
    for part in (p.strip() for p in text.split(",")):
        if not part:
            continue
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{part!r}: write label=value, several with a comma between")
        out[key.strip()] = value.strip()
    return out


def _document(cluster: Any, edited: Edited) -> tuple[dict[str, Any], dict[str, str]]:
    """The Service's document with the form's values, and what cannot be read in the form: {field: why}."""
    document = cluster.store.document("Service", edited.key)
    document.pop("status", None)
    for noise in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        document["metadata"].pop(noise, None)
    spec, f, errors = document["spec"], edited.fields, {}
    try:
        spec["selector"] = _selector(f["selector"])
    except ValueError as e:
        errors["selector"] = str(e)
    ports = spec.setdefault("ports", [{}])
    if not re.fullmatch(r"[0-9]{1,9}", f["port"].strip()):
        errors["port"] = f"{f['port']!r}: a Service's port is a number from 1 to 65535"
    else:
        ports[0]["port"] = int(f["port"])
    target = f["targetPort"].strip()
    ports[0]["targetPort"] = int(target) if re.fullmatch(r"[0-9]{1,9}", target) else target
    if not target:
        errors["targetPort"] = "empty: a number, or the name of a container's port"
    headless, kind = f["type"] == "headless", f["type"]
    spec["type"] = "ClusterIP" if headless else kind
    spec["sessionAffinity"], spec["internalTrafficPolicy"] = f["sessionAffinity"], f["internalTrafficPolicy"]
    if f["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if headless or spec.get("clusterIP") == "None":
        for name in ("clusterIP", "clusterIPs"):
            spec.pop(name, None)
        if headless:
            spec["clusterIP"] = "None"
    spec.pop("healthCheckNodePort", None)
    if kind in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
        spec["externalTrafficPolicy"] = f["externalTrafficPolicy"]
    else:
        spec.pop("externalTrafficPolicy", None)
    if kind not in ("NodePort", "LoadBalancer"):
        for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass", "loadBalancerSourceRanges", "loadBalancerIP"):
            spec.pop(name, None)
        for port in ports:
            port.pop("nodePort", None)
    return document, errors


def _field_of(path: str) -> str:
    """The form's field that a path of the API is about: "spec.ports[0].targetPort" -> "targetPort"."""
    for name in ("targetPort", "selector", "externalTrafficPolicy", "internalTrafficPolicy", "sessionAffinity", "type"):
        if name in path:
            return name
    return "port" if "ports" in path else ""


def _changed(cluster: Any, edited: Edited) -> tuple[Any, dict[str, str]]:
    """A copy of the cluster with the edits in it, and {field: error} ("" for what belongs to no field)."""
    document, errors = _document(cluster, edited)
    if errors:
        return None, errors
    lab = cluster.copy()
    try:
        lab.delete("Service", edited.key)
        lab.apply(document, strict=True)
        for pod, state in edited.pods.items():
            if state == "terminating":
                lab.set_pod(pod, terminating=True)
            else:
                lab.set_pod(pod, ready=state == "ready")
    except LoadError as e:
        for problem in e.problems:
            errors.setdefault(_field_of(problem.path), problem.message)
        return None, errors
    except KubenetError as e:
        return None, {"": str(e)}
    return lab, {}


def _clients(cluster: Any) -> list[str]:
    keys = [p.key for p in cluster.snapshot().list(Pod) if p.ips and not p.spec.host_network and not p.terminated]
    return [*(f"pod/{k}" for k in keys), *(f"node:{n.name}" for n in cluster.nodes), f"external:{OUTSIDE[0]}"]


def _ways(lab: Any, service: Service) -> tuple[Way, ...]:
    try:
        return ways_of(lab, service)
    except KubenetError:
        port = service.spec.ports[0].port if service.spec.ports else 80
        return (Way("DNS name", f"{service.name}.{service.namespace}", port),)


def _state_of(pod: Pod) -> str:
    return "terminating" if pod.metadata.deletion_timestamp is not None else "ready" if pod.ready else "not ready"


def _pods(cluster: Any, edited: Edited) -> list[dict[str, Any]]:
    found = cluster.snapshot().list(Pod, edited.key.split("/")[0])
    state = {p.key: edited.pods.get(p.key, _state_of(p)) for p in found}
    return [{"key": p.key, "node": p.spec.node_name, "state": state[p.key], "mark": "", "said": "", "selected": False} for p in found]


def explorer_view(cluster: Any, edited: Edited, client: str, node: str, way: str) -> dict[str, Any]:
    """Everything that is on the screen. Changes nothing of the cluster; where the form cannot be applied, `errors` says why, by field."""
    nodes = [n.name for n in cluster.snapshot().list(Node)]
    view: dict[str, Any] = {
        "services": [s.key for s in cluster.snapshot().list(Service) if s.spec.type != "ExternalName" and s.spec.selector],
        "clients": _clients(cluster), "nodes": nodes, "states": list(STATES), "types": list(TYPES), "ok": False, "said": "", "address": "",
        "pods": _pods(cluster, edited), "idle": _idle(cluster, edited),
        "ways": [], "outcomes": [], "reasons": [], "rules": [], "more": 0, "rules_said": "", "path": None,
    }  # fmt: skip
    lab, view["errors"] = _changed(cluster, edited)
    if lab is None:
        view["said"] = "the Service cannot be applied: " + "; ".join(f"{k or 'Service'}: {v}" for k, v in view["errors"].items())
        return view
    service = service_of(lab, edited.key)
    view["pods"] = _pods(lab, edited)  # a workload replaces what terminates
    joined = {c.pod: c for c in candidates(lab, service)}
    for row in view["pods"]:
        if (c := joined.get(row["key"])) is not None:
            row.update(mark="✓" if c.takes_traffic else "✗", said=c.said, selected=c.selected)
    node_ports = [str(p.node_port) for p in service.spec.ports if p.node_port]
    view["address"] = " · ".join([*_address(service), *(f"node port {n}" for n in node_ports)])
    ways = _ways(lab, service)
    chosen = next((w for w in ways if w.label == way), ways[0])
    view["ways"], view["way"] = [w.label for w in ways], chosen.label
    _ask(lab, service, client, chosen, view)
    _rules(lab, edited.key, node, view)
    return view


def _idle(cluster: Any, edited: Edited) -> dict[str, str]:
    """The fields that say nothing for a Service of this type, and why: {field: why}."""
    kind = edited.fields["type"]
    if kind == "headless":
        return dict.fromkeys(("externalTrafficPolicy", "internalTrafficPolicy", "sessionAffinity"), "a headless Service has no rules")
    if kind in ("NodePort", "LoadBalancer") or service_of(cluster, edited.key).spec.external_ips:
        return {}
    return {"externalTrafficPolicy": "for doors to the outside only"}


def _address(service: Service) -> list[str]:
    """Its own address, and that of a balancer, in words."""
    if service.spec.cluster_ip == "None":
        return ["no address: headless"]
    given = [i.ip or i.hostname for i in service.status.load_balancer.ingress]
    waits = service.spec.type == "LoadBalancer" and not given
    own = f"address {service.spec.cluster_ip}" if service.spec.cluster_ip else "no address yet"
    return [own, *(f"balancer {a}" for a in given), *(["no balancer has given an address"] if waits else [])]


def _ask(lab: Any, service: Service, client: str, way: Way, view: dict[str, Any]) -> None:
    protocol = service.spec.ports[0].protocol if service.spec.ports else "TCP"
    try:
        found = lab.outcomes(client, way.address, port=way.port, protocol=protocol)
    except KubenetError as e:
        view["said"] = str(e)
        return
    for o in found:
        view["outcomes"].append({
            "share": str(o.probability), "percent": round(float(o.probability) * 100, 1), "ok": bool(o), "mark": "✓" if o else "✗",
            "verdict": o.verdict, "who": o.answered_by or "", "seen": o.source_seen or "", "error": o.error or "",
        })  # fmt: skip
    good = sum((o.probability for o in found if o), start=0 * found[0].probability)
    view["ok"] = good == 1
    whom = len({o.answered_by for o in found if o})
    view["said"] = (
        f"answered by {whom} endpoint{'' if whom == 1 else 's'}" if good == 1
        else f"answered with probability {good}, else {found[-1].verdict}" if good else f"never answered: {found[0].verdict}"
    )  # fmt: skip
    trace = found[0].trace
    if trace is not None:
        view["reasons"] = [r.sentence for r in trace.reasons]
        hops = [[h.number, h.host, h.layer, h.title, h.entry.text if h.entry else "", h.failed] for h in trace.hops]
        view["path"] = {"question": trace.question, "summary": summary(trace), "hops": hops}


def _rules(lab: Any, key: str, node: str, view: dict[str, Any]) -> None:
    try:
        found = list(service_rules(lab, node, key))
    except KubenetError as e:
        view["rules_said"] = str(e)
        return
    view["rules"] = [[r.table, r.text] for r in found[:MOST_RULES]]
    view["more"] = max(0, len(found) - MOST_RULES)
    if not found:
        view["rules_said"] = f"no rule on {node} knows this Service"
