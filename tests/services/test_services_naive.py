"""Random Services: what the lab's rules do to a connection, against a naive reading of the Service's own text.

The twins in the kernel hold the rules that the lab wrote, so a fault in the writing is in both: this is what stands against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import yaml

import kubenet_lab as kn
from kubenet_lab.cluster.balancers import BALANCER
from kubenet_lab.cluster.names import node_addresses
from tests.services.naive_services import Answer, Client, Proxy, decide
from tests.services.service_draw import Case, Flow, draw, family

MODES = ("iptables", "nftables")
#: clusters in CI, for each mode
SHARE = 20
#: no Service's where it is asked first, and decided by somebody else
ELSEWHERE = "no Service, decided elsewhere"


def proxy_of(cluster: kn.Cluster, node: str, fam: int) -> Proxy:
    o = cluster.proxy
    local: tuple[str, str] | None
    if o.detect_local_mode == "BridgeInterface":
        local = ("device", o.bridge_interface)
    elif o.detect_local_mode == "InterfaceNamePrefix":
        local = ("prefix", o.interface_name_prefix)
    else:
        whole = "10.244.0.0/16,fd00:10:244::/56" if o.cluster_cidr is None else o.cluster_cidr
        by_node = next(n for n in cluster.nodes if n.name == node).spec.pod_cidrs
        cidrs = by_node if o.detect_local_mode == "NodeCIDR" else whole.split(",")
        local = next((("cidr", c) for c in cidrs if c and family(c) == fam), None)
    return Proxy(o.mode, local, o.masquerade_all, o.node_port_addresses, o.localhost_node_ports)


def standpoint(cluster: kn.Cluster, flow: Flow) -> tuple[str, Client] | None:
    """(the node that decides, the client as this node sees it); None where that is not known without the network."""
    src, _, address, _ = flow
    fam = family(address)
    if address.startswith("fe80:"):
        return None  # connect() gives EINVAL: no node is asked
    owner = {a: n.name for n in cluster.nodes for a in node_addresses(n)}
    machine = {n.name: next((a for a in node_addresses(n) if family(a) == fam), "") for n in cluster.nodes}
    if src.startswith("external:"):
        ip = src.removeprefix("external:")
        node = owner.get(address) or _entry(cluster, address, owner)
        return (node, Client(ip, "eth0")) if node else None
    if src.startswith("node:"):
        home, ip, device = src.removeprefix("node:"), machine[src.removeprefix("node:")], ""
    else:
        p: Any = cluster.get("pod", src)
        home, ip = p.spec.node_name, next(a for a in p.ips if family(a) == fam)
        bridged = "cni0" in cluster.network().namespaces[home].links
        device = "" if p.spec.host_network else "cni0" if bridged else "cali"
    if (far := owner.get(address)) and far != home:  # the pod network hides the pod behind its node; Calico's IPv6 pools do not
        kept = device == "cali" and fam == 6
        return far, Client(ip if kept else machine[home], "eth0")
    return home, Client(ip, device)


def _entry(cluster: kn.Cluster, address: str, owner: dict[str, str]) -> str:
    """The node to which a balancer's or an external address leads from outside."""
    for n in cluster.nodes:
        if any(ip == address for _, ip in cluster.network().namespaces[n.name].announced):
            return n.name
    for r in cluster.network().namespaces["gateway"].routes:
        if r.dst.split("/")[0] == address and r.via in owner:
            return owner[r.via]
    return ""


def _deciders(cluster: kn.Cluster) -> set[str]:
    """The addresses at which somebody decides: the nodes' own, and those that a cloud's balancer has."""
    names = [*(n.name for n in cluster.nodes), BALANCER]
    return {a.ip for name in names if (ns := cluster.network().namespaces.get(name)) for _, a in ns.addresses()}


def wrong(case: Case, flow: Flow, docs: list[dict[str, Any]], seen: Counter[str]) -> str:
    """What the lab does otherwise than the naive reading says; empty where they agree."""
    cluster, (src, protocol, address, port) = case.cluster, flow
    where = standpoint(cluster, flow)
    if where is None or protocol == "ICMP":
        return ""
    node, client = where
    doc = next(d for d in docs if d["kind"] == "Node" and d["metadata"]["name"] == node)
    own = [a.ip for _, a in cluster.network().namespaces[node].addresses()]
    if family(address) == 4 and address.startswith("127."):
        own.append(address)
    want = decide(docs, doc, own, proxy_of(cluster, node, family(address)), client, address, port, protocol)
    found = cluster.outcomes(src, address, port, protocol)
    if want is None:
        seen["no Service"] += 1
        seen[ELSEWHERE] += (elsewhere := address in _deciders(cluster) - set(own))
        met = [] if elsewhere else [o.endpoint for o in found if o.endpoint]
        return f"{flow} at {node}: no Service's, the lab meets {met}" if met else ""
    seen["endpoints" if want.endpoints else want.verdicts[-1]] += 1
    if _agree(want, found, client, own, seen):
        return ""
    return f"{flow} at {node}: {want}, the lab {[(str(o.probability), o.error, o.endpoint, o.masquerade) for o in found]}"


def _agree(want: Answer, found: Any, client: Client, own: list[str], seen: Counter[str]) -> bool:
    inside = not client.device
    if not want.endpoints:
        # what a rule stops on its way out, a program that does not wait for a handshake hears of as EPERM
        stopped = ("EPERM",) if inside else ()
        silence = ("ETIMEDOUT", "")
        kinds = {"refused": ("ECONNREFUSED", *stopped), "silent": (*silence, *stopped), "leaked": (*silence, "EHOSTUNREACH")}
        return all((o.error or "") in [k for v in want.verdicts for k in kinds[v]] and not o for o in found)
    each, masked = Fraction(1, len(want.endpoints)), dict(want.endpoints)
    shares: dict[str, Fraction] = {}
    for o in [o for o in found if o]:
        if o.endpoint not in masked:
            return False
        shares[o.endpoint] = shares.get(o.endpoint, Fraction(0)) + o.probability
        ip = o.endpoint.rpartition(":")[0].strip("[]")
        if ip in own:
            continue  # it never leaves the node: nothing masks it
        hidden = o.masquerade is not None
        seen["masked" if masked[o.endpoint] else "not masked"] += 1
        # the pod network hides clients, too: from what is not its own, and those that are not its own
        free = ip.startswith(("10.244.", "fd00:10:244:")) and client.device not in ("eth0", "")
        if masked[o.endpoint] and not hidden and not inside:  # a node's own address may be the mask already
            return False
        if hidden and not masked[o.endpoint] and free:
            return False
    # who is not heard by a dead endpoint's network tries again, and its new connection may be given another endpoint
    dead = any(not o for o in found)
    if any(to.startswith((f"{client.ip}:", f"[{client.ip}]:")) for to in masked.keys() - shares.keys()):
        return any(o.error == "ECONNREFUSED" for o in found)  # whom it asks is itself: it is there
    return all(share == each or (dead and share > each) for share in shares.values()) and (dead or len(shares) == len(masked))


def differences(case: Case, seen: Counter[str]) -> list[str]:
    docs = [d for d in yaml.safe_load_all(case.cluster.to_yaml()) if d]
    return [text for flow in case.flows if (text := wrong(case, flow, docs, seen))]


@pytest.mark.parametrize("mode", MODES)
def test_the_rules_do_what_the_service_says(mode: str, cases: Callable[[int], int], seed: int) -> None:
    seen: Counter[str] = Counter()
    out = []
    for number in range(cases(SHARE)):
        case = draw(seed * 10_000 + number, mode, flows=16)
        out += [f"case {number}: {text}" for text in differences(case, seen)]
    print(f"{mode}, seed {seed}: {dict(sorted(seen.items()))}")
    assert not out, "\n".join(out)
    assert all(seen[k] for k in ("endpoints", "refused", "silent", "masked", "not masked", "no Service", ELSEWHERE))
