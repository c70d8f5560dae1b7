"""A naive NetworkPolicy decider for plain dicts, written from the API text only (networking/v1 types.go). One pair at a time.

cluster = {"pods": [{"ns", "name", "labels", "ip", "node", "host_network", "finished", "ports": [{"name", "port", "protocol"}]}],
           "namespaces": {name: labels}, "policies": [NetworkPolicy documents]}
An end of a connection is ("pod", ns, name), ("node", name, ip) or ("external", ip).
Left open by the API and fixed here: ipBlock names pods too; a hostNetwork pod is its node.
"""

import ipaddress


def term_holds(term, labels):
    key, operator = term["key"], term["operator"]
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    if operator == "In":
        return key in labels and labels[key] in term.get("values", [])
    if operator == "NotIn":
        return not (key in labels and labels[key] in term.get("values", []))
    raise ValueError(operator)


def selected(selector, labels):
    for key, value in (selector.get("matchLabels") or {}).items():
        if key not in labels or labels[key] != value:
            return False
    return all(term_holds(t, labels) for t in selector.get("matchExpressions") or [])


def find(cluster, end):
    for pod in cluster["pods"]:
        if end[0] == "pod" and (pod["ns"], pod["name"]) == end[1:]:
            return pod
    return None


def is_real_pod(cluster, end):
    pod = find(cluster, end)
    return pod is not None and not pod.get("host_network") and not pod.get("finished")


def address(cluster, end):
    return find(cluster, end)["ip"] if end[0] == "pod" else end[-1]


def node_of(cluster, end):
    """The node whose own process this end is, or None."""
    if end[0] == "node":
        return end[1]
    pod = find(cluster, end)
    return pod["node"] if pod is not None and pod.get("host_network") and not pod.get("finished") else None


def peer_matches(cluster, policy, peer, end):
    if "ipBlock" in peer:
        ip = ipaddress.ip_address(address(cluster, end))
        nets = [ipaddress.ip_network(c, strict=False) for c in [peer["ipBlock"]["cidr"], *(peer["ipBlock"].get("except") or [])]]
        return ip in nets[0] and not any(ip in n for n in nets[1:])
    if not is_real_pod(cluster, end):
        return False
    pod = find(cluster, end)
    if "namespaceSelector" in peer:
        labels = dict(cluster["namespaces"].get(pod["ns"], {}))
        labels["kubernetes.io/metadata.name"] = pod["ns"]
        if not selected(peer["namespaceSelector"], labels):
            return False
    elif pod["ns"] != policy["metadata"]["namespace"]:
        return False
    return "podSelector" not in peer or selected(peer["podSelector"], pod["labels"])


def port_matches(cluster, entry, dst, port, protocol):
    if entry.get("protocol", "TCP") != protocol:
        return False
    wanted = entry.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        pod = find(cluster, dst)
        return pod is not None and any(
            p["name"] == wanted and p.get("protocol", "TCP") == protocol and p["port"] == port for p in pod.get("ports", [])
        )
    return wanted <= port <= entry.get("endPort", wanted)


def types(spec):
    if spec.get("policyTypes"):
        return spec["policyTypes"]
    return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def consents(cluster, direction, me, other, dst, port, protocol):
    """Does the pod `me` agree, for one direction?"""
    if not is_real_pod(cluster, me):
        return True
    pod = find(cluster, me)
    if me == other or node_of(cluster, other) == pod["node"]:
        return True
    mine = [
        p for p in cluster["policies"]
        if p["metadata"]["namespace"] == pod["ns"]
        and direction in types(p["spec"]) and selected(p["spec"].get("podSelector") or {}, pod["labels"])
    ]  # fmt: skip
    if not mine:
        return True
    word = "from" if direction == "Ingress" else "to"
    for policy in mine:
        for rule in policy["spec"].get(direction.lower()) or []:
            peers, ports = rule.get(word) or [], rule.get("ports") or []
            if peers and not any(peer_matches(cluster, policy, p, other) for p in peers):
                continue
            if ports and not any(port_matches(cluster, p, dst, port, protocol) for p in ports):
                continue
            return True
    return False


def allowed(cluster, src, dst, port, protocol="TCP"):
    """(egress consents, ingress consents)."""
    return (
        consents(cluster, "Egress", src, dst, dst, port, protocol),
        consents(cluster, "Ingress", dst, src, dst, port, protocol),
    )
