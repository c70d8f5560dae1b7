"""Exercises of notebook 05: what fits, who says so, and what happens when nobody does."""

from __future__ import annotations

from typing import Any

from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import bookshop

__all__ = ["QUESTIONS"]

#: MTUs of the wire between the nodes that one meets: Ethernet, jumbo frames, some clouds' networks
WIRES = (9000, 1460, 8951, 4000, 1400)
#: the tunnel's MTU in 05.2 and 05.4
NARROW = (1400, 1380, 1300, 1420, 1350)
#: what is sent in 05.3: (who is silent about it, bytes)
CASES = (("blocked", 4000), ("blocked", 300), ("told", 4000), ("blocked", 1300), ("told", 300))
CONNECT = ("shop/web", "shop/cart", 8080)


# 05.1


def _wire(seed: int) -> Case:
    """A cluster whose nodes are joined by such a wire."""
    mtu = pick(seed, "wire", WIRES)
    cluster = bookshop(underlay={"mtu": mtu})
    links = cluster.pod("shop/web").links()
    return Case(cluster, {"wire": mtu, "pod": int(links[links.ifname == "eth0"].mtu.iloc[0])})


POD_MTU = Exercise(
    id="05.1",
    title="What is left",
    prompt="The wire between the nodes takes packets of {wire} bytes. flannel carries pods' packets in VXLAN. Which MTU do the pods get?",
    form=Form("number", unit="bytes"),
    setup=_wire,
    truth=lambda case: case["pod"],
    because=lambda case: (
        f"The outer IP header, UDP, VXLAN and the inner Ethernet header take 20 + 8 + 8 + 14 bytes of the {case['wire']}: "
        f"{case['pod']} are left."
    ),
    hints=(
        "Everything that travels inside the wire's IP packet counts, also what is in front of the pod's packet.",
        "`cluster.plot.budget(...)` takes the wire's MTU, in bytes.",
        "Outer IPv4, UDP, VXLAN, inner Ethernet: add their sizes, and take them away.",
    ),
    distractors=(
        Distractor("same-mtu-everywhere", lambda case: case["wire"], "That is the wire's. Then the outer headers would not fit any more."),
        Distractor(
            "vxlan-is-eight-bytes",
            lambda case: case["wire"] - 8,
            "You took the VXLAN header away. What else stands before the pod's packet?",
        ),
        Distractor(
            "tunnel-carries-packets",
            lambda case: case["wire"] - 36,
            "14 bytes are missing: a tunnel for frames carries the inner Ethernet header too.",
        ),
    ),
)

# 05.2


def _narrow(seed: int) -> Case:
    mtu = pick(seed, "narrow", NARROW)
    cluster = bookshop()
    pod = cluster.pod("shop/cart")
    cluster.node(cluster.pod("shop/web").node.name).run(f"ip link set flannel.1 mtu {mtu}")
    fits = next(size for size in range(mtu - 20, 0, -1) if _passes(cluster, pod, size))
    return Case(cluster, {"mtu": mtu, "fits": fits, "dst": pod.ip})


def _passes(cluster: Any, pod: Any, size: int) -> bool:
    return bool(cluster.preview("shop/web", f"pod/{pod.name}", protocol="ICMP", size=size))


PING = Exercise(
    id="05.2",
    title="The largest ping",
    prompt="The tunnel of web's node has an MTU of {mtu}. What is the largest N for which `ping -M do -s N {dst}` from web is answered?",
    form=Form("number", unit="bytes"),
    setup=_narrow,
    truth=lambda case: case["fits"],
    because="Behind an IP header of 20 bytes and an ICMP header of 8, {fits} bytes make a packet of {mtu}.",
    hints=(
        "-s counts the bytes behind the ICMP header. What does the MTU count?",
        "Try it in the lab: set the MTU of flannel.1 on worker-1, then ping from web with `-M do`.",
        "Take the IP header and the ICMP header away from the MTU.",
    ),
    distractors=(
        Distractor(
            "ping-size-is-packet-size", lambda case: case["mtu"], "-s does not count the headers. The packet would be 28 bytes larger."
        ),
        Distractor(
            "ping-has-one-header", lambda case: case["mtu"] - 20, "You took the IP header away. ICMP has a header of its own, of 8 bytes."
        ),
        Distractor(
            "tunnel-counts-twice",
            lambda case: case["mtu"] - 50 - 28,
            "The MTU of flannel.1 is already what is left for the pod's packet: the tunnel's headers are not part of it.",
        ),
    ),
)

# 05.3

VERDICTS = Form(
    "word",
    choices=("delivered", "refused", "timeout", "stalled", "too-big"),
    synonyms={
        "hangs": "stalled", "stall": "stalled", "works": "delivered", "ok": "delivered", "emsgsize": "too-big", "too big": "too-big",
        "etimedout": "timeout",
    },
)  # fmt: skip


def _sent(seed: int) -> Case:
    how, size = pick(seed, "sent", CASES)
    cluster = bookshop()
    node = cluster.node(cluster.pod("shop/web").node.name)
    node.run("ip link set flannel.1 mtu 1400")
    if how == "blocked":
        node.run("iptables -A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP")
    src, dst, port = CONNECT
    trace = cluster.connect(src, dst, port=port, size=size)
    words = (
        "and its ICMP messages of the type fragmentation-needed are dropped" if how == "blocked" else "and its ICMP messages come through"
    )
    return Case(cluster, {"size": size, "words": words, "trace": trace, "how": how, "dst": dst, "port": port})


def _sent_because(case: Case) -> str:
    if case["trace"].verdict == "stalled":
        return "The handshake fits, the full segments do not, and nobody tells web."
    if case["how"] == "blocked":
        return "No packet of this connection is larger than 1400 bytes, so none is lost."
    return "web is told how much the path takes, and sends smaller segments."


SENT = Exercise(
    id="05.3",
    title="What the client sees",
    prompt=(
        "The pods have an MTU of 1450, the tunnel of web's node has 1400, {words}. "
        "web connects to {dst}, port {port}, and sends {size} bytes. Which verdict does it get?"
    ),
    form=VERDICTS,
    setup=_sent,
    truth=lambda case: case["trace"].verdict,
    because=_sent_because,
    hints=(
        "How large is the largest packet that this connection needs?",
        "If it is larger than 1400 bytes: does anybody tell web?",
        "Build it in the lab as the notebook does, and read trace.verdict.",
    ),
    distractors=(
        Distractor(
            "ping-works-so-all-is-well",
            lambda case: "delivered",
            "The handshake and a ping get through, they are small. Look at the packets that carry the data.",
        ),
        Distractor(
            "black-hole-closes-the-door",
            lambda case: "timeout",
            "A timeout means that not even the handshake came back. Its packets are small: they fit.",
        ),
        Distractor(
            "big-packets-are-cut", lambda case: "too-big", "TCP is told of it by ICMP, if at all, and then changes its segments: no error."
        ),
        Distractor(
            "nothing-big-passes", lambda case: "stalled", "It would, if a packet of this connection were too big and nobody said so."
        ),
    ),
)

# 05.4

CLAMP = Exercise(
    id="05.4",
    title="The number in the SYN",
    prompt="The path takes packets of {mtu} bytes over IPv4. Which MSS must the first packet name, so that no segment is too big?",
    form=Form("number", unit="bytes"),
    setup=_narrow,
    truth=lambda case: case["fits"] + 28 - 40,
    because="An IPv4 header and a TCP header without options take 40 bytes of {mtu}.",
    hints=(
        "The MSS counts what is behind the TCP header.",
        "Look at the last column of the header budget, and compare it with the pod's MTU beside it.",
        "Two headers of 20 bytes each.",
    ),
    distractors=(
        Distractor(
            "clamping-cuts-packets", lambda case: case["mtu"], "That is the packet. A segment has an IP header and a TCP header before it."
        ),
        Distractor("ping-size-is-packet-size", lambda case: case["mtu"] - 28, "28 is what ICMP and IP take. TCP's header has 20 bytes."),
        Distractor("ping-has-one-header", lambda case: case["mtu"] - 20, "One header is missing: IP and TCP have 20 bytes each."),
    ),
)

TOLD = Prediction(
    id="05.a",
    title="A ping that is too big",
    prompt="The tunnel takes 1400 bytes, and web sends a ping of 1450 that must not be fragmented. What does web see?",
    form=Form("word", choices=("delivered", "too-big", "timeout"), synonyms=VERDICTS.synonyms),
    setup=lambda seed: Case(_narrow(0).cluster),
    truth=lambda case: case.cluster.preview("shop/web", "shop/cart", protocol="ICMP", size=1422).verdict,
)

HOLE = Prediction(
    id="05.b",
    title="When nobody may say it",
    prompt="The message of the gateway is dropped now. web opens a connection to cart and sends 4000 bytes. What does it see?",
    form=VERDICTS,
    setup=lambda seed: _sent(0),
    truth=lambda case: case["trace"].verdict,
)

QUESTIONS: tuple[Question, ...] = (TOLD, HOLE, POD_MTU, PING, SENT, CLAMP)
