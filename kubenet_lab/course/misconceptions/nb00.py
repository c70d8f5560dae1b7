"""The wrong ideas that notebook 00 meets."""

from __future__ import annotations

from ..misconception import Misconception

__all__ = ["MISCONCEPTIONS"]

MISCONCEPTIONS: tuple[Misconception, ...] = (
    Misconception(
        "service-address-travels",
        "The packet travels to the Service's address, and something there passes it on.",
        "A Service address belongs to no machine. The sender's own node rewrites it to a pod's address before the packet leaves.",
        "00_start_here.ipynb",
        "Ask for a page",
    ),
    Misconception(
        "tunnel-rewrites-destination",
        "A tunnel sends a packet to another node by changing its destination address.",
        "A tunnel changes nothing inside. It puts a second set of headers around the packet, and the far node takes them off again.",
        "00_start_here.ipynb",
        "Step through it",
    ),
    Misconception(
        "next-hop-in-packet",
        "A router writes the address of the next hop into the packet.",
        "The next hop only decides which MAC address the frame gets. The IP header keeps the final destination all the way.",
        "00_start_here.ipynb",
        "Step through it",
    ),
    Misconception(
        "overlay-is-free",
        "An overlay is a way of routing, so a packet has the same size on the wire.",
        "Every packet between nodes carries the outer headers too, which is why the pods' MTU is smaller than the wire's.",
        "00_start_here.ipynb",
        "Step through it",
    ),
    Misconception(
        "vxlan-is-eight-bytes",
        "VXLAN adds its own header of 8 bytes and nothing else.",
        "The VXLAN header rides in UDP in IP, and what it carries is a whole Ethernet frame: all four are added to the packet.",
        "00_start_here.ipynb",
        "Step through it",
    ),
    Misconception(
        "tunnel-carries-packets",
        "VXLAN wraps the IP packet.",
        "VXLAN wraps the Ethernet frame: the inner Ethernet header travels too, 14 bytes more than the packet.",
        "00_start_here.ipynb",
        "Step through it",
    ),
    Misconception(
        "broken-path-refuses",
        "When the network is broken, the connection is refused.",
        "A refusal is an answer: some machine got the packet and said no. A packet that dies on the way brings no answer, only a timeout.",
        "00_start_here.ipynb",
        "Break one entry",
    ),
    Misconception(
        "network-heals-itself",
        "The node learns the missing entry again, so nothing is lost.",
        "flannel turns learning off on its VXLAN device. What its agent wrote is all that the device knows until the agent writes again.",
        "00_start_here.ipynb",
        "Break one entry",
    ),
    Misconception(
        "lost-packet-is-reported",
        "A node that cannot send a packet on tells the sender that the destination is unreachable.",
        "Only a missing route or an unanswered neighbour does. A tunnel that has no far end for a frame drops it without a word.",
        "00_start_here.ipynb",
        "Break one entry",
    ),
    Misconception(
        "silence-everywhere",
        "Whatever goes wrong in a network, the client only notices a timeout.",
        "A timeout means that nothing came back. A closed port answers with a reset, and a missing neighbour is reported as an error.",
        "00_start_here.ipynb",
        "Break one entry",
    ),
)
