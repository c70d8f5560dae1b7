"""Exercises of notebook 00: one request crosses the bookshop, and one entry is broken."""

from __future__ import annotations

from typing import Any

from ...errors import KubenetError
from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import bookshop

__all__ = ["QUESTIONS"]

#: (client, Service, port); seed 0 takes the first, which is the request of the text
REQUESTS = (
    ("shop/web", "shop/cart", 8080),
    ("shop/web", "shop/api", 8080),
    ("shop/api", "data/db-read", 5432),
    ("shop/cart", "data/cache", 6379),
    ("ops/jobs", "data/db-read", 5432),
    ("shop/api", "data/cache", 6379),
    ("ops/jobs", "shop/api", 8080),
)
#: bytes of an IP packet that leaves a pod
PACKETS = (1000, 840, 1200, 576, 1320, 960)
#: what is broken in 00.3; seed 0 takes the first, which is the experiment of the text
BREAKS = ("fdb", "neighbour", "port")


def _request(seed: int) -> Case:
    """A request that crosses from one node to the other, on a cluster of its own."""
    first = pick(seed, "request", range(len(REQUESTS)))
    for place in range(len(REQUESTS)):
        src, service, port = REQUESTS[(first + place) % len(REQUESTS)]
        cluster = bookshop()
        trace = cluster.connect(src, f"svc:{service}", port=port)
        if trace and _tunnel_hop(trace) is not None:
            facts = {
                "src": src,
                "service": service,
                "port": port,
                "trace": trace,
                "code": f'cluster.connect("{src}", "svc:{service}", port={port})',
            }
            return Case(cluster, facts)
    raise KubenetError("no request of notebook 00 crosses the nodes of the bookshop")


def _tunnel_hop(trace: Any) -> Any:
    return next((hop for hop in trace.hops if any(h.name == "VXLAN" for h in hop.after) and hop.added > 0), None)


def _from_ip(headers: Any, outer: bool) -> int:
    """Bytes of the outermost or of the innermost IP packet of a header stack."""
    places = [i for i, h in enumerate(headers) if h.name in ("IPv4", "IPv6")]
    return sum(h.size for h in headers[places[0 if outer else -1] :])


# 00.1


def _headers(case: Case, name: str) -> list[Any]:
    """The headers of that kind on the wire between the nodes, outermost first."""
    return [h for h in _tunnel_hop(case["trace"]).after if h.name.startswith(name)]


def _service_address(case: Case) -> Any:
    """What the client writes into the packet."""
    return next(h for h in case["trace"].hops[0].after if h.name.startswith("IP")).get("dst")


def _next_hop(case: Case) -> Any:
    """The gateway of the route that leads into the tunnel."""
    tunnel = _tunnel_hop(case["trace"])
    entries = [hop.entry.text for hop in case["trace"].hops if hop.host == tunnel.host and hop.entry and hop.entry.kind == "route"]
    words = next(text.split() for text in entries if tunnel.device in text and " via " in text)
    return words[words.index("via") + 1]


INSIDE = Exercise(
    id="00.1",
    title="The address inside",
    prompt=(
        "Look at the trace of `{code}`. "
        "It crosses the wire between the nodes as a packet inside a packet. Which destination address does the inner one carry there?"
    ),
    form=Form("address"),
    setup=_request,
    truth=lambda case: _headers(case, "IP")[-1].get("dst"),
    because=lambda case: (
        f"It is the address of a pod behind {case['service']}: a rule on {_tunnel_hop(case['trace']).host} put it in the place of "
        f"{_service_address(case)} before the packet was routed."
    ),
    hints=(
        "Step to the hop of eth0 that puts the packet on the wire, and read its headers from the outside in: there are two IP headers.",
        "Every hop keeps the headers before and after it: `for h in trace.hops[5].after: print(h.name, h.get('dst'))`",
        "The last IP header of that list is the inner packet. Its dst has not changed since the rules of the client's node rewrote it.",
    ),
    distractors=(
        Distractor(
            "service-address-travels",
            _service_address,
            "That is what {src} asked for. No machine owns that address, so no packet could find its way to it.",
        ),
        Distractor(
            "tunnel-rewrites-destination",
            lambda case: _headers(case, "IP")[0].get("dst"),
            "That is the other node: it stands in the outer header. Look at the IP header after VXLAN: "
            "it is the same before and after the hop that wraps.",
        ),
        Distractor(
            "next-hop-in-packet",
            _next_hop,
            "That is the next hop that the route names. It decides the MAC address of the frame, and is never written into the IP header.",
        ),
    ),
)

# 00.2


def _packet(seed: int) -> Case:
    case = _request(seed)
    return Case(case.cluster, {**case.facts, "size": pick(seed, "packet", PACKETS)})


def _growth(case: Case) -> int:
    """How many bytes longer the IP packet on the wire is than the one that left the pod, read off the walk."""
    after = _tunnel_hop(case["trace"]).after
    return _from_ip(after, outer=True) - _from_ip(after, outer=False)


def _size_because(case: Case) -> str:
    headers = _tunnel_hop(case["trace"]).after
    ips = [i for i, h in enumerate(headers) if h.name in ("IPv4", "IPv6")]
    extra = headers[ips[0] : ips[-1]]
    parts = " + ".join(f"{h.size} ({'inner ' if i >= len(extra) - 1 else ''}{h.name})" for i, h in enumerate(extra))
    return f"The tunnel adds {parts} = {_growth(case)} bytes: {case['size']} become {case['size'] + _growth(case)}."


SIZE = Exercise(
    id="00.2",
    title="The size on the wire",
    prompt=(
        "{src} sends an IP packet of {size} bytes to {service}, on the other node. "
        "How many bytes has the IP packet that the wire between the nodes carries?"
    ),
    form=Form("number", unit="bytes"),
    setup=_packet,
    truth=lambda case: case["size"] + _growth(case),
    because=_size_because,
    hints=(
        "The pod's packet travels whole inside another one. Find the hop that wraps it, and list what stands in front of it.",
        "In the tracer, at the hop of flannel.1, read the header stack from the outside in: each header shows its size.",
        "Count the outer IP header, UDP, VXLAN and the inner Ethernet header. The outer Ethernet header is not part of the IP packet.",
    ),
    distractors=(
        Distractor(
            "overlay-is-free",
            lambda case: case["size"],
            "That is the packet as it left the pod. The wire carries it inside another one.",
        ),
        Distractor(
            "vxlan-is-eight-bytes",
            lambda case: case["size"] + 8,
            "You added the VXLAN header. It cannot travel by itself: look at what stands before it, and right after it.",
        ),
        Distractor(
            "tunnel-carries-packets",
            lambda case: case["size"] + _growth(case) - 14,
            "14 bytes are missing: look at the header right after VXLAN, before the inner IP header.",
        ),
    ),
)

# 00.3

VERDICTS = Form(
    "word",
    choices=("delivered", "refused", "timeout", "unreachable"),
    synonyms={
        "ETIMEDOUT": "timeout", "timed out": "timeout", "times out": "timeout", "connection timed out": "timeout", "time-out": "timeout",
        "ECONNREFUSED": "refused", "connection refused": "refused", "reset": "refused",
        "EHOSTUNREACH": "unreachable", "ENETUNREACH": "unreachable", "no route to host": "unreachable", "host unreachable": "unreachable",
        "ok": "delivered", "works": "delivered", "success": "delivered",
    },
)  # fmt: skip


def _broken(seed: int) -> Case:
    """A request that crosses the nodes, on a cluster with one thing wrong; `fault` says what, as a person would."""
    case = _request(seed)
    hop = _tunnel_hop(case["trace"])
    node = case.cluster.node(hop.host)
    pod, port = case["trace"].answered_by, _headers(case, "TCP")[-1].get("dport")
    kind = pick(seed, "break", BREAKS)
    if kind == "fdb":
        mac, remote = _headers(case, "Ethernet")[-1].get("dst"), _headers(case, "IP")[0].get("dst")
        command = f"bridge fdb del {mac} dev {hop.device} dst {remote}"
        node.run(command)
        fault = f"On {hop.host} someone runs `{command}`: {hop.device} no longer knows behind which node that MAC address lives."
    elif kind == "neighbour":
        command = f"ip neigh del {_next_hop(case)} dev {hop.device}"
        node.run(command)
        fault = f"On {hop.host} someone runs `{command}`: the node no longer knows the MAC address of the tunnel's far end."
    else:
        port = 9999
        fault = "Nothing in the network is broken, but nothing listens on the port that is asked for."
    again = case.cluster.connect(case["src"], f"pod/{pod}", port=int(port))
    return Case(case.cluster, {**case.facts, "fault": fault, "again": again, "pod": pod, "asked": port})


def _broken_because(case: Case) -> str:
    again = case["again"]
    seconds = f" after {again.elapsed:.0f} s" if again.elapsed >= 1 else ""
    return " ".join([f"The client gets {again.error}{seconds}.", *map(str, again.reasons[:1])])


BROKEN = Exercise(
    id="00.3",
    title="How it fails",
    prompt="{fault}\nThen {src} opens a connection to port {asked} of {pod}, on the other node. Which verdict does it get?",
    form=VERDICTS,
    setup=_broken,
    truth=lambda case: case["again"].verdict,
    because=_broken_because,
    hints=(
        "Ask what the client gets back: an answer that says no, a message that says where it failed, or nothing at all.",
        "A refusal (RST) is sent by the machine that the packet reached. Did it reach one?",
        "Break it in the lab, as the text does, ask again, and read trace.verdict and the last hop.",
    ),
    distractors=(
        Distractor("broken-path-refuses", lambda case: "refused", "To be refused, someone has to get the packet and say no. Who got it?"),
        Distractor(
            "lost-packet-is-reported",
            lambda case: "unreachable",
            "Someone would have to send that message back. Look at the last hop: does the machine that drops the packet say anything?",
        ),
        Distractor("network-heals-itself", lambda case: "delivered", "Nobody writes the entry again while the client waits."),
        Distractor("silence-everywhere", lambda case: "timeout", "Something does come back here. Look at the way back in the trace."),
    ),
)

FIRST_GUESS = Prediction(
    id="00.a",
    title="Before you break it",
    prompt="One entry of the forwarding database of {src}'s node is about to go. What will {src} see when it asks again?",
    form=VERDICTS,
    setup=lambda seed: _broken(0),
    truth=lambda case: case["again"].verdict,
)

QUESTIONS: tuple[Question, ...] = (FIRST_GUESS, INSIDE, SIZE, BROKEN)
