"""What Services promise, decided naively from documents: which endpoints a connection may meet, and for which its client is masked.

It imports nothing of the lab and knows no rule, chain or packet. Sources: the API's text (Service, EndpointSlice), KEP-1669 (terminating
endpoints), KEP-2086 (internalTrafficPolicy), KEP-3685 and KEP-4444 (hints), KEP-1860 (ipMode), kube-proxy's documented options.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

Doc = dict[str, Any]
NAME = "kubernetes.io/service-name"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Proxy:
    """kube-proxy's options. `local`: how it tells pods: ("cidr", CIDR), ("device", name), ("prefix", name's beginning) or None."""

    mode: str
    local: tuple[str, str] | None
    masquerade_all: bool = False
    node_port_addresses: tuple[str, ...] = ()
    localhost: bool = True


@dataclass(frozen=True)
class Client:
    """As the node that decides sees it. `device`: by which its packets come in; "" for the node's own processes."""

    ip: str
    device: str


@dataclass(frozen=True)
class Answer:
    """`verdicts`: what may become of it where no endpoint is met ("leaked": it goes on as if there were no Service).

    `endpoints`: ("ip:port", is the client masked), all alike likely.
    """

    verdicts: tuple[str, ...] = ()
    endpoints: tuple[tuple[str, bool], ...] = ()


def decide(
    docs: Sequence[Doc], node: Doc, own: Sequence[str], proxy: Proxy, client: Client, address: str, port: int, protocol: str
) -> Answer | None:  # fmt: skip
    """What becomes of a connection that `node` (with the addresses `own`) handles; None where it is no Service's."""
    six = ":" in address
    for service in (d for d in docs if d["kind"] == "Service"):
        spec = service["spec"]
        if spec.get("type") == "ExternalName" or not any((":" in ip) == six for ip in spec.get("clusterIPs", []) if ip != "None"):
            continue
        for p in spec["ports"]:
            if p["protocol"] == protocol and (kind := _kind(service, p, node, own, proxy, address, port)):
                return _answer(docs, service, p, kind, node, proxy, client, six)
    return None


def balanced(service: Doc) -> list[str]:
    """The addresses of a balancer that hands packets on as they are."""
    return [i["ip"] for i in service.get("status", {}).get("loadBalancer", {}).get("ingress", []) if i.get("ipMode") != "Proxy"]


def _kind(service: Doc, p: Doc, node: Doc, own: Sequence[str], proxy: Proxy, address: str, port: int) -> str:
    spec = service["spec"]
    vips = balanced(service)
    if p["port"] == port:
        for kind, addresses in (("cluster", spec["clusterIPs"]), ("external", spec.get("externalIPs", [])), ("balancer", vips)):
            if address in addresses:
                return kind
    return "node port" if p.get("nodePort") == port and address in own and _served(node, proxy, address) else ""


def _served(node: Doc, proxy: Proxy, address: str) -> bool:
    """Whether node ports are served on this address of the node."""
    ip, asked = ip_address(address), proxy.node_port_addresses
    if ip.is_loopback and (proxy.mode == "nftables" or ip.version == 6 or not proxy.localhost):
        return False
    if asked == ("primary",) or (proxy.mode == "nftables" and not asked):
        return address == next(a["address"] for a in node["status"]["addresses"] if ip_address(a["address"]).version == ip.version)
    of_family = [ip_network(c) for c in asked if ip_network(c).version == ip.version]
    return not of_family or any(ip in c for c in of_family)


def _answer(docs: Sequence[Doc], service: Doc, p: Doc, kind: str, node: Doc, proxy: Proxy, client: Client, six: bool) -> Answer:
    spec, name = service["spec"], node["metadata"]["name"]
    found = list(endpoints_of(docs, service, p, name, six))
    everywhere, here = _usable(_near(found, node)), _usable([e for e in found if e["node"] == name])
    nothing = ("silent",) if any(e["ready"] or (e["serving"] and e["terminating"]) for e in found) else ("refused",)
    if proxy.mode == "iptables" and not client.device and kind in ("external", "balancer"):
        nothing = ("leaked", *nothing)  # KUBE-EXTERNAL-SERVICES is asked for what comes in or passes, not for what the node sends
    pod = _is_pod(proxy, client)
    ranges = [r for r in spec.get("loadBalancerSourceRanges", []) if (":" in r) == six]
    if kind == "balancer" and ranges and not any(ip_address(client.ip) in ip_network(r, strict=False) for r in ranges):
        return Answer(("silent", *nothing))
    if kind == "cluster":
        chosen = here if spec.get("internalTrafficPolicy") == "Local" else everywhere
        masked = proxy.masquerade_all or pod is False
    elif spec.get("externalTrafficPolicy") != "Local":
        chosen, masked = everywhere, True
    else:  # who is inside is not held to the policy
        chosen, masked = (everywhere, not pod) if pod or not client.device else (here, False)
    if not chosen:
        return Answer(nothing)
    return Answer((), tuple((e["to"], masked or e["ip"] == client.ip) for e in chosen))


def _is_pod(proxy: Proxy, client: Client) -> bool | None:
    """Whether it is a pod of this cluster, as far as kube-proxy can tell; None: it has no way to tell."""
    if proxy.local is None:
        return None
    how, what = proxy.local
    if how == "cidr":
        return ip_address(client.ip) in ip_network(what)
    return client.device == what if how == "device" else client.device.startswith(what)


def endpoints_of(docs: Sequence[Doc], service: Doc, p: Doc, node: str, six: bool) -> Iterator[Doc]:
    """One for each address and port; where slices differ about one, the first counts, or what says that it is on this node."""
    found: dict[str, Doc] = {}
    slices = [d for d in docs if d["kind"] == "EndpointSlice" and d["addressType"] == ("IPv6" if six else "IPv4")]
    mine = [d for d in slices if d["metadata"].get("labels", {}).get(NAME) == service["metadata"]["name"]
            and d["metadata"]["namespace"] == service["metadata"]["namespace"]]  # fmt: skip
    for d in sorted(mine, key=lambda d: str(d["metadata"]["name"])):
        same = [q for q in d.get("ports") or [] if q.get("name", "") == p.get("name", "") and q["protocol"] == p["protocol"]]
        for number in [q["port"] for q in same]:
            for e in d.get("endpoints") or []:
                ip, c, hints = e["addresses"][0], e.get("conditions") or {}, e.get("hints") or {}
                to = f"[{ip}]:{number}" if six else f"{ip}:{number}"
                seen = {"to": to, "ip": ip, "node": e.get("nodeName", ""), "ready": c.get("ready", True), "serving": c.get("serving", True)}
                seen["terminating"] = c.get("terminating", False)
                seen["zones"], seen["nodes"] = ([h["name"] for h in hints.get(k, [])] for k in ("forZones", "forNodes"))
                if to not in found or seen["node"] == node:
                    found[to] = seen
    yield from found.values()


def _near(found: list[Doc], node: Doc) -> list[Doc]:
    """Hints count where every ready endpoint has one and one of them is for this node, or else for its zone."""
    ready = [e for e in found if e["ready"]]
    for hints, own in (("nodes", node["metadata"]["name"]), ("zones", node["metadata"].get("labels", {}).get(ZONE, ""))):
        if ready and all(e[hints] for e in ready) and any(own in e[hints] for e in ready):
            return [e for e in found if own in e[hints] or not e["ready"]]
    return found


def _usable(found: list[Doc]) -> list[Doc]:
    return [e for e in found if e["ready"]] or [e for e in found if e["serving"] and e["terminating"]]
