"""Devices without frames: WireGuard and a TUN device with a program behind it. What is said of them is documented, not measured;
what stands around their packets is held against the formats of Linux and of the programs' sources.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.explain.kernel import PHRASES
from kubenet_lab.kernel.ask import Question, Result, put
from kubenet_lab.kernel.links import TunOptions, WireguardOptions, WireguardPeer
from kubenet_lab.kernel.namespace import Listener, Namespace
from kubenet_lab.kernel.network import Network
from kubenet_lab.kernel.packet import Enclosed, Filler, Packet, Udp, WireGuard
from kubenet_lab.kernel.pcap import file_bytes
from kubenet_lab.kernel.process import Echo
from kubenet_lab.kernel.state import State
from kubenet_lab.kernel.wire import packet_bytes
from kubenet_lab.kernel.wireguard import peer_for

INNER = Packet("10.0.1.1", "10.0.2.1", "UDP", Udp(1, 2, Filler(100)))


class Pair:
    """Two machines a and b on one wire (192.0.2.1, 192.0.2.2), each with 10.0.N.1/32 on a tunnel device tun0 and a route 10.0.0.0/16."""

    def __init__(self, kind: str, mtu: int = 1420, under: int = 1500):
        self.net, self.state = Network(), State()
        self.net.add_segment("wire", mtu=under)
        for n, name in ((1, "a"), (2, "b")):
            self.net.add_host(name)
            self.net.plug(name, "wire", address=f"192.0.2.{n}/24")
            self.net.namespaces[name].add_link("tun0", kind, mtu=mtu, **self.options(kind, n))  # type: ignore[arg-type]
            self.net.namespaces[name].add_address("tun0", f"10.0.{n}.1/32")
            self.net.namespaces[name].add_route("10.0.0.0/16", dev="tun0")
            for protocol in ("TCP", "UDP"):
                self.net.namespaces[name].listen(Listener(protocol, 80, Echo(), name))  # type: ignore[arg-type]

    @staticmethod
    def options(kind: str, n: int) -> dict[str, Any]:
        other = 3 - n
        if kind == "tun":
            return {"tun": TunOptions(f"192.0.2.{n}", 8285, ((f"10.0.{other}.0/24", f"192.0.2.{other}"),))}
        peer = WireguardPeer(f"key{other}", f"192.0.2.{other}", 51820, (f"10.0.{other}.0/24",))
        return {"wireguard": WireguardOptions(f"key{n}", 51820, (peer,))}

    def __getitem__(self, name: str) -> Namespace:
        return self.net.namespaces[name]

    def ask(self, dst: str = "10.0.2.1", protocol: str = "TCP", **more: Any) -> Result:
        return put(self.net, self.state, Question("a", dst, 0 if protocol == "ICMP" else 80, protocol, **more))  # type: ignore[arg-type]

    def peers(self, name: str, **changes: Any) -> None:
        own = self[name].link("tun0").wireguard
        assert own is not None
        self[name].set_link("tun0", wireguard=replace(own, peers=tuple(replace(p, **changes) for p in own.peers)))


def outer(result: Result, payload: type) -> list[Packet]:
    assert result.walk.frames is not None
    on_wire = [p for _, at, _, _, p in result.walk.frames if at == "a/eth0" and isinstance(p, Packet)]
    return [p for p in on_wire if isinstance(p.l4, Udp) and isinstance(p.l4.payload, payload)]


# ---------------------------------------------------------------------------------------------------------------- sizes
@pytest.mark.parametrize(("size", "padded"), [(28, 32), (32, 32), (33, 48), (1400, 1408), (1417, 1420), (1420, 1420)])
def test_a_wireguard_message_is_32_bytes_and_padding_to_16_within_the_mtu(size: int, padded: int) -> None:
    r = Pair("wireguard").ask(protocol="ICMP", payload=Filler(size - 28))
    assert r.verdict == "delivered"
    message = outer(r, WireGuard)[0]
    assert isinstance(message.l4, Udp) and message.size == 20 + 8 + 32 + padded
    assert len(bytes(message.l4.payload)) == len(message.l4.payload) == 32 + padded
    assert (message.l4.sport, message.l4.dport, message.src, message.df, message.ttl) == (51820, 51820, "192.0.2.1", False, 64)
    assert bytes(message.l4.payload)[:4] == b"\4\0\0\0", "message type 4, data"


def test_what_is_inside_cannot_be_read_on_the_way() -> None:
    data = packet_bytes(Packet("192.0.2.1", "192.0.2.2", "UDP", Udp(51820, 51820, WireGuard("k", INNER, 128))))
    assert packet_bytes(INNER)[20:] not in data and len(data) == 28 + 32 + 128
    assert bytes(WireGuard("k", INNER, 128)) == bytes(WireGuard("k", INNER, 128)), "the same every time"


def test_a_datagram_of_the_program_holds_the_packet_and_nothing_else() -> None:
    r = Pair("tun", mtu=1472).ask(protocol="ICMP", payload=Filler(1444))
    assert r.verdict == "delivered"
    carried = outer(r, Enclosed)[0]
    assert isinstance(carried.l4, Udp) and carried.size == 1500 and (carried.l4.sport, carried.l4.dport) == (8285, 8285)
    assert packet_bytes(carried).endswith(packet_bytes(carried.l4.payload.packet))  # type: ignore[attr-defined]
    assert carried.df, "a socket sends with path MTU discovery unless it says otherwise"


# ------------------------------------------------------------------------------------------------------------ WireGuard
def test_both_ends_speak_through_wireguard() -> None:
    pair = Pair("wireguard")
    r = pair.ask()
    assert (r.verdict, r.answered_by, r.source_seen) == ("delivered", "b", "10.0.1.1")
    assert {p.src for p in outer(r, WireGuard)} == {"192.0.2.1", "192.0.2.2"}


def test_the_longest_allowed_prefix_chooses_the_peer() -> None:
    near, far = WireguardPeer("n", "192.0.2.8", 1, ("10.0.2.0/24",)), WireguardPeer("f", "192.0.2.9", 1, ("10.0.0.0/8", "fd00::/8"))
    options = WireguardOptions("own", 1, (far, near))
    assert peer_for(options, "10.0.2.7") == near and peer_for(options, "10.1.2.7") == far and peer_for(options, "fd01::1") == far
    assert peer_for(options, "192.0.2.1") is None


def test_a_destination_without_a_peer() -> None:
    r = Pair("wireguard").ask("10.0.9.1")
    assert (r.verdict, r.error, r.ending) == ("unreachable", "EHOSTUNREACH", "wireguard.no_peer") and r.elapsed < 0.1
    assert Pair("wireguard").ask("10.0.9.1", "UDP").error == "ENOKEY", "what ping says as: Required key not available"


def test_a_sender_whose_key_is_unknown_is_met_with_silence() -> None:
    pair = Pair("wireguard")
    pair.peers("b", public_key="another")
    r = pair.ask()
    assert (r.verdict, r.ending) == ("timeout", "wireguard.unknown_peer")


def test_a_source_outside_the_senders_allowed_ips_is_dropped() -> None:
    pair = Pair("wireguard")
    pair.peers("b", allowed_ips=("10.0.7.0/24",))
    r = pair.ask()
    assert (r.verdict, r.ending) == ("timeout", "wireguard.disallowed")


def test_a_wrong_port_finds_no_socket() -> None:
    pair = Pair("wireguard")
    pair.peers("a", port=51899)
    assert pair.ask(protocol="UDP").verdict == "timeout"


def test_wireguard_goes_in_pieces_where_the_underlay_is_too_narrow() -> None:
    r = Pair("wireguard", under=1400).ask(protocol="ICMP", payload=Filler(1392))
    assert r.verdict == "delivered" and any(e.code == "ip.fragment" for e in r.forward.events())  # type: ignore[union-attr]


def test_both_families_in_one_device() -> None:
    pair = Pair("wireguard")
    for n, name in ((1, "a"), (2, "b")):
        pair[name].add_address("tun0", f"fd00:{n}::1/128")
        pair[name].add_route("fd00::/16", dev="tun0")
        pair.peers(name, allowed_ips=(f"10.0.{3 - n}.0/24", f"fd00:{3 - n}::/64"))
    r = pair.ask("fd00:2::1")
    assert r.source_seen == "fd00:1::1" and outer(r, WireGuard)[0].family == 4


# ------------------------------------------------------------------------------------------------------------------ TUN
def test_the_program_takes_a_ttl_on_each_side_and_says_nothing() -> None:
    pair = Pair("tun")
    ttls = [pair.ask(protocol="UDP", ttl=n).verdict for n in (1, 2, 3)]
    assert ttls == ["timeout", "timeout", "delivered"]
    assert [pair.ask(protocol="UDP", ttl=n).ending for n in (1, 2)] == ["tun.ttl", "tun.ttl"]


def test_the_programs_error_comes_from_the_devices_own_address_and_is_dropped() -> None:
    """Linux takes no packet from outside that bears one of its own addresses as source (fib_validate_source)."""
    r = Pair("tun").ask("10.0.9.1", "UDP")
    assert (r.verdict, r.ending) == ("timeout", "tun.no_route")
    assert any(e.code == "martian.source" for e in r.walk.endings)


def test_what_is_no_packet_is_not_written() -> None:
    pair = Pair("tun")
    r = put(pair.net, pair.state, Question("a", "192.0.2.2", 8285, "UDP", payload=Filler(20)))
    assert (r.verdict, r.ending) == ("timeout", "tun.garbage")
    # the program is bound to one address
    assert put(pair.net, pair.state, Question("b", "10.0.2.1", 8285, "UDP")).verdict == "refused"


# ------------------------------------------------------------------------------------------------- how it shows itself
def test_every_word_about_them_is_documented() -> None:
    about = {code: p for code, p in PHRASES.items() if code.startswith(("wireguard.", "tun."))}
    assert len(about) == 10 and {p.evidence.kind for p in about.values() if p.evidence} == {"documented"}


def test_devices_without_frames_have_no_hardware_address() -> None:
    link = Pair("wireguard")["a"].link("tun0")
    assert (link.mac, link.arp, link.header_size) == ("", False, 0)


def test_tshark_reads_both(require_tool: Any, tmp_path: Path) -> None:
    import subprocess

    tshark = require_tool("tshark")
    pair = Pair("wireguard")
    pair.ask()  # ARP is done
    frames = pair.ask().walk.frames
    from kubenet_lab.kernel.packet import Frame

    for where, want in (("a/tun0", "10.0.1.1\t10.0.2.1\ttcp"), ("a/eth0", "192.0.2.1\t192.0.2.2\twg")):
        path = tmp_path / f"{where.replace('/', '-')}.pcap"
        path.write_bytes(file_bytes([(t, Frame(s, d, p)) for t, at, s, d, p in frames or () if at == where]))
        fields = ["-T", "fields", "-e", "ip.src", "-e", "ip.dst", "-e", "_ws.col.Protocol"]
        seen = subprocess.run([tshark, "-r", str(path), *fields], capture_output=True, text=True, check=True).stdout.splitlines()
        assert seen and seen[0].lower().replace("wireguard", "wg") == want
