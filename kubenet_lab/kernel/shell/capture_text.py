"""How tcpdump prints a frame. Source: tcpdump 4.99 print-{ether,arp,ip,ip6,tcp,udp,icmp,icmp6,otv,vxlan,domain,http}.c; compared with it."""

from __future__ import annotations

import ipaddress
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..address import number
from ..packet import BROADCAST, Arp, Frame, Icmp, Packet, Tcp, Udp, Vxlan
from ..port_names import service_name
from ..wire import packet_bytes, protocol_number

__all__ = ["Printer"]

_TCP_FLAGS = (("F", "F"), ("S", "S"), ("R", "R"), ("P", "P"), ("A", "."))
_HTTP_PORTS = (80, 8080)
_DNS_PORTS = (53, 5353)


@dataclass(slots=True)
class Printer:
    """Prints frames one after the other: sequence numbers are relative to what was printed before.

    `numeric` is -n, `ethernet` -e, `verbose` -v, `tunnel` the protocol that -T forces upon UDP payloads.
    """

    numeric: bool = False
    ethernet: bool = False
    verbose: bool = False
    absolute: bool = False
    tunnel: str = ""
    _cut: bool = False  # what is being printed is not there to its end: no checksum can be said
    _conversations: dict[tuple[object, ...], tuple[int, int]] = field(default_factory=dict)

    def frame(self, frame: Frame, missing: int = 0) -> str:
        """One frame; `missing` bytes of it are cut off (it is inside the first fragment of another)."""
        body = frame.body
        if isinstance(body, Arp):
            kind = "IPv6 (0x86dd)" if ":" in body.target_ip else "ARP (0x0806)"
        else:
            kind = "IPv4 (0x0800)" if body.family == 4 else "IPv6 (0x86dd)"
        dst = frame.dst
        if isinstance(body, Arp) and ":" in body.target_ip and dst == BROADCAST:
            low = number(body.target_ip) & 0xFFFFFF
            dst = f"33:33:ff:{low >> 16:02x}:{low >> 8 & 0xFF:02x}:{low & 0xFF:02x}"
        head = f"{self._mac(frame.src)} > {self._mac(dst)}, ethertype {kind}, length {frame.size - missing}: " if self.ethernet else ""
        if self.ethernet and not frame.dst:
            head = "ip: "  # a device without frames
        before, self._cut = self._cut, self._cut or missing > 0
        try:
            return head + self._body(body, not self.ethernet, missing)
        finally:
            self._cut = before

    def _mac(self, mac: str) -> str:
        """Without -n the vendor is named; nobody has given these away."""
        if self.numeric:
            return mac
        return "Broadcast" if mac == BROADCAST else f"{mac} (oui Unknown)"

    def _body(self, body: Packet | Arp, named: bool, missing: int) -> str:
        if isinstance(body, Arp):
            if ":" in body.target_ip:
                return ("IP6 " if named else "") + self._neighbour(body)
            details = "Ethernet (len 6), IPv4 (len 4), " if self.verbose else ""
            if body.op == "request":
                text = f"Request who-has {body.target_ip} tell {body.sender_ip}"
            else:
                text = f"Reply {body.sender_ip} is-at {self._mac(body.sender_mac)}"
            return ("ARP, " if named else "") + f"{details}{text}, length {body.size}"
        label = ("IP " if body.family == 4 else "IP6 ") if named else ""
        if missing > 0:
            label += f"truncated-ip{'6' if body.family == 6 else ''} - {missing} bytes missing!" + (" " if body.family == 4 else "")
        return label + (self._ip4(body) if body.family == 4 else self._ip6(body))

    # ------------------------------------------------------------------------------------------------------------- IP
    def _port(self, port: int, protocol: str) -> str:
        return str(port) if self.numeric else service_name(port, protocol) or str(port)

    def _ends(self, p: Packet, l4: Tcp | Udp) -> str:
        kind = "tcp" if isinstance(l4, Tcp) else "udp"
        return f"{p.src}.{self._port(l4.sport, kind)} > {p.dst}.{self._port(l4.dport, kind)}"

    def _ip4(self, p: Packet) -> str:
        head = ""
        if self.verbose:
            flags = "DF" if p.df else "+" if p.more else "none"
            proto = protocol_number(p.proto)
            name = {1: "ICMP", 6: "TCP", 17: "UDP", 132: "SCTP"}.get(proto, "")
            label = f"{name} ({proto})" if name else f"unknown ({proto})"
            head = f"(tos 0x{p.tos:x}, ttl {p.ttl}, id {p.ident}, offset {p.frag}, flags [{flags}], proto {label}, length {p.size})\n    "
        if p.frag:
            known = p.proto in ("TCP", "UDP", "ICMP", "SCTP") and not self.numeric
            name = p.proto.lower() if known else f"ip-proto-{protocol_number(p.proto)}"
            return f"{head}{p.src} > {p.dst}: {name}"
        return head + self._transport(p)

    def _ip6(self, p: Packet) -> str:
        head = ""
        proto = protocol_number(p.proto)
        if self.verbose:
            name = {6: "TCP", 17: "UDP", 58: "ICMPv6", 132: "SCTP"}.get(proto, "")
            following = "Fragment (44)" if p.is_fragment else f"{name} ({proto})" if name else f"unknown ({proto})"
            tos = f"class 0x{p.tos:02x}, " if p.tos else ""
            head = f"({tos}hlim {p.ttl}, next-header {following} payload length: {p.size - 40}) "
        if not p.is_fragment:
            return head + self._transport(p)
        piece = f"frag (0x{p.ident:08x}:{p.frag}|{p.l4.size})" if self.verbose else f"frag ({p.frag}|{p.l4.size})"
        if p.frag:
            return f"{head}{p.src} > {p.dst}: {piece}"
        return f"{head}{p.src} > {p.dst}: {piece} {self._transport(p, bare=True)}"

    def _transport(self, p: Packet, bare: bool = False) -> str:
        whole = p.whole
        l4 = whole.l4 if whole is not None else p.l4
        there = p.l4.size  # bytes of it that this packet carries
        if isinstance(l4, Tcp):
            ends = f"{self._port(l4.sport, 'tcp')} > {self._port(l4.dport, 'tcp')}" if bare else self._ends(p, l4)
            return f"{ends}: {self._tcp(p, l4, there)}"
        if isinstance(l4, Udp):
            ends = f"{self._port(l4.sport, 'udp')} > {self._port(l4.dport, 'udp')}" if bare else self._ends(p, l4)
            return f"{ends}: {self._udp(p, l4, there)}"
        text = self._icmp(p, l4, there) if isinstance(l4, Icmp) else f"{' ' if self.verbose else ''}ip-proto-{protocol_number(p.proto)} {l4.size}"
        return text if bare else f"{p.src} > {p.dst}: {text}"

    def _sum(self, p: Packet, at: int) -> str:
        data = packet_bytes(p)
        start = p.header_size + at
        return f"0x{struct.unpack('!H', data[start : start + 2])[0]:04x}"

    # ------------------------------------------------------------------------------------------------------------ TCP
    def _tcp(self, p: Packet, l4: Tcp, there: int) -> str:
        size = len(l4.payload) if p.whole is None else there - l4.header_size
        flags = "".join(mark for letter, mark in _TCP_FLAGS if letter in l4.flags) or "none"
        seq, ack = self._relative(p, l4)
        text = f"Flags [{flags}]"
        if self.verbose and p.whole is None and not self._cut:
            text += f", cksum {self._sum(p, 16)} (correct)"
        if size > 0 or set(l4.flags) & set("SFR"):
            text += f", seq {seq}" + (f":{(seq + size) & 0xFFFFFFFF}" if size > 0 else "")
        if "A" in l4.flags:
            text += f", ack {ack}"
        text += f", win {self._window(l4)}"
        stamps = f"TS val 1000 ecr {1000 if 'A' in l4.flags else 0}"
        if l4.mss is not None:
            text += f", options [mss {l4.mss},sackOK,{stamps},nop,wscale 7]"
        elif "R" not in l4.flags:
            text += f", options [nop,nop,{stamps}]"
        text += f", length {size}"
        if size <= 0:
            return text
        if l4.sport in _HTTP_PORTS or l4.dport in _HTTP_PORTS:
            return f"{text}: {_http(bytes(l4.payload)[:size], self.verbose)}"
        if 53 in (l4.sport, l4.dport):
            data = bytes(l4.payload)[:size]
            if len(data) > 2:
                return f"{text} {_dns(data[2:], self.verbose)}".replace("  ", " ")
        return text

    @staticmethod
    def _window(l4: Tcp) -> int:
        if l4.mss is not None:
            segment = max(1, l4.mss - (12 if "A" in l4.flags else 0))
            return 65535 // segment * segment
        return 0 if "R" in l4.flags else 502

    def _relative(self, p: Packet, l4: Tcp) -> tuple[int, int]:
        seq, ack = l4.seq & 0xFFFFFFFF, l4.ack & 0xFFFFFFFF
        if self.absolute or "A" not in l4.flags:
            return seq, ack
        here, there = (l4.sport, p.src), (l4.dport, p.dst)
        turned = here > there
        key = (there, here) if turned else (here, there)
        known = self._conversations.get(key)
        if known is None or "S" in l4.flags:
            base = ((ack - 1) & 0xFFFFFFFF, seq) if turned else (seq, (ack - 1) & 0xFFFFFFFF)
            self._conversations[key] = base
            return seq, ack
        mine, theirs = (known[1], known[0]) if turned else known
        return (seq - mine) & 0xFFFFFFFF, (ack - theirs) & 0xFFFFFFFF

    # ------------------------------------------------------------------------------------------------------------ UDP
    def _udp(self, p: Packet, l4: Udp, there: int) -> str:
        # with one -v the sum is only looked at where it is mandatory
        check = "[udp sum ok] " if self.verbose and p.family == 6 and p.whole is None and not self._cut else ""
        return check + self._udp_payload(p, l4, there)

    def _udp_payload(self, p: Packet, l4: Udp, there: int) -> str:
        size = len(l4.payload)
        payload = l4.payload
        if p.whole is not None and not isinstance(payload, Vxlan) and l4.size > there:
            return f"UDP, length {size}"
        if isinstance(payload, Vxlan):
            otv = l4.dport == 8472 and self.tunnel != "vxlan"
            if l4.dport in (8472, 4789) or self.tunnel == "vxlan":
                name = f"OTV, flags [I] (0x08), overlay 0, instance {payload.vni}" if otv else f"VXLAN, flags [I] (0x08), vni {payload.vni}"
                return f"{name}\n{self.frame(payload.frame, l4.size - there)}"
        if l4.sport in _DNS_PORTS or l4.dport in _DNS_PORTS:
            return _dns(bytes(payload), self.verbose)
        return f"UDP, length {size}"

    # ----------------------------------------------------------------------------------------------------------- ICMP
    def _icmp(self, p: Packet, l4: Icmp, there: int) -> str:
        if p.family == 6:
            return self._icmp6(p, l4, there)
        size = there
        if l4.type in (0, 8):
            return f"ICMP echo {'request' if l4.type == 8 else 'reply'}, id {l4.id}, seq {l4.seq}, length {size}"
        text = {3: self._unreachable, 11: self._exceeded}.get(l4.type, lambda m: f"type-#{m.type}")(l4)
        out = f"ICMP {text}, length {size}"
        if self.verbose and l4.quote is not None:
            before, self._cut = self._cut, self._cut or l4.quote.size > l4.size - 8
            out += f"\n\t{'' if self.ethernet else 'IP '}{self._ip4(l4.quote)}"
            self._cut = before
        return out

    def _unreachable(self, l4: Icmp) -> str:
        q = l4.quote
        assert q is not None
        inner = q.l4 if q.whole is None else q.whole.l4
        match l4.code:
            case 0:
                return f"net {q.dst} unreachable"
            case 1:
                return f"host {q.dst} unreachable"
            case 2:
                return f"{q.dst} protocol {protocol_number(q.proto)} unreachable"
            case 3:
                if isinstance(inner, Tcp | Udp):
                    kind = "tcp" if isinstance(inner, Tcp) else "udp"
                    return f"{q.dst} {kind} port {self._port(inner.dport, kind)} unreachable"
                return f"{q.dst} protocol {protocol_number(q.proto)} port {self._first_port(q)} unreachable"
            case 4:
                return f"{q.dst} unreachable - need to frag" + (f" (mtu {l4.mtu})" if l4.mtu else "")
            case 9:
                return f"net {q.dst} unreachable - admin prohibited"
            case 10:
                return f"host {q.dst} unreachable - admin prohibited"
            case 13:
                return f"host {q.dst} unreachable - admin prohibited filter"
        return f"{q.dst} unreachable - #{l4.code}"

    @staticmethod
    def _first_port(q: Packet) -> int:
        data = packet_bytes(q)[q.header_size :]
        return int(struct.unpack("!H", data[2:4])[0]) if len(data) >= 4 else 0

    @staticmethod
    def _exceeded(l4: Icmp) -> str:
        return "time exceeded in-transit" if l4.code == 0 else "ip reassembly time exceeded"

    def _icmp6(self, p: Packet, l4: Icmp, there: int) -> str:
        check = "[icmp6 sum ok] " if self.verbose and p.whole is None and not self._cut else ""
        head = f"{check}ICMP6, "
        length = "" if self.verbose else f", length {there}"
        if l4.type in (128, 129):
            return f"{head}echo {'request' if l4.type == 128 else 'reply'}, id {l4.id}, seq {l4.seq}{length}"
        q = l4.quote
        assert q is not None
        inner = q.l4 if q.whole is None else q.whole.l4
        if l4.type == 1:
            what = {0: f"unreachable route {q.dst}", 1: f" unreachable prohibited {q.dst}", 2: f"beyond scope {q.dst}", 3: f"unreachable address {q.dst}"}
            text = what.get(l4.code, f"unreachable code-#{l4.code}")
            if l4.code == 4:
                kind = "udp" if isinstance(inner, Udp) else "tcp"
                port = self._port(inner.dport, kind) if isinstance(inner, Tcp | Udp) else ""
                text = f"unreachable port, {q.dst} {kind} port {port}" if port else f"unreachable port, {q.dst} protocol {protocol_number(q.proto)} port {self._first_port(q)}"
            return f"{head}destination unreachable, {text}{length}"
        if l4.type == 2:
            return f"{head}packet too big, mtu {l4.mtu}{length}"
        if l4.type == 3:
            kind = f"time exceeded in-transit for {q.dst}" if l4.code == 0 else "ip6 reassembly time exceeded"
            return f"{head}{kind}{length}"
        return f"{head}unknown icmp6 type ({l4.type}){length}"

    def _neighbour(self, a: Arp) -> str:
        check = "[icmp6 sum ok] " if self.verbose and not self._cut else ""
        head = "(hlim 255, next-header ICMPv6 (58) payload length: 32) " if self.verbose else ""
        if a.op == "request":
            low = number(a.target_ip)
            group = str(ipaddress.ip_address(int(ipaddress.ip_address("ff02::1:ff00:0")) | low & 0xFFFFFF))
            text = f"neighbor solicitation, who has {a.target_ip}, length 32"
            if self.verbose:
                text = f"neighbor solicitation, length 32, who has {a.target_ip}"
                text += f"\n\t  source link-address option (1), length 8 (1): {a.sender_mac}"
            return f"{head}{a.sender_ip} > {group}: {check}ICMP6, {text}"
        text = f"neighbor advertisement, tgt is {a.sender_ip}, length 32"
        if self.verbose:
            text = f"neighbor advertisement, length 32, tgt is {a.sender_ip}, Flags [solicited, override]"
            text += f"\n\t  destination link-address option (2), length 8 (1): {a.sender_mac}"
        return f"{head}{a.sender_ip} > {a.target_ip}: {check}ICMP6, {text}"


# ---------------------------------------------------------------------------------------------------------- payloads
_METHODS = ("GET", "PUT", "COPY", "HEAD", "LOCK", "MOVE", "POLL", "POST", "BCOPY", "BMOVE", "MKCOL", "TRACE", "LABEL", "MERGE", "DELETE", "SEARCH",
            "UNLOCK", "REPORT", "UPDATE", "NOTIFY", "BDELETE", "CONNECT", "OPTIONS", "CHECKIN", "PROPFIND", "CHECKOUT", "CCM_POST", "SUBSCRIBE",
            "PROPPATCH", "BPROPFIND", "BPROPPATCH", "UNCHECKOUT", "MKACTIVITY", "MKWORKSPACE", "UNSUBSCRIBE", "RPC_CONNECT", "VERSION-CONTROL",
            "BASELINE-CONTROL")  # fmt: skip


def _http(data: bytes, verbose: bool) -> str:
    """The first line of a request or an answer; with -v every line, until something is no text (print-ascii.c, txtproto_print)."""
    text = data.decode("latin-1")
    first = text.split("\n", 1)[0].rstrip("\r")
    word = first.split(" ", 1)[0]
    if not (word in _METHODS or re.match(r"HTTP/\d", first)):
        return "HTTP"
    lines = _text_lines(text)
    if not verbose:
        return f"HTTP: {lines[0]}" if lines else "HTTP"
    return f"HTTP, length: {len(data)}" + "".join(f"\n\t{line}" for line in lines)


def _text_lines(text: str) -> list[str]:
    """Lines of printable ASCII that LF or CR LF ends; the last one may lack its end, which is said."""
    out = []
    while text:
        match = re.match(r"([\t\x20-\x7e]*)(\r?\n|\Z)", text)
        if match is None:
            break
        out.append(match[1] if match[2] else f"{match[1]} [|http]")
        text = text[match.end() :]
    return out


_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 41: "OPT", 255: "ANY"}
_RCODES = {0: "", 1: " FormErr", 2: " ServFail", 3: " NXDomain", 4: " NotImp", 5: " Refused"}


def _name(data: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    end = -1
    for _ in range(128):
        size = data[at]
        if size & 0xC0 == 0xC0:
            if end < 0:
                end = at + 2
            at = (size & 0x3F) << 8 | data[at + 1]
            continue
        at += 1
        if not size:
            return (".".join(labels) + ".", end if end >= 0 else at)
        labels.append(data[at : at + size].decode("latin-1"))
        at += size
    raise IndexError(at)


def _records(data: bytes, at: int, count: int) -> Iterator[tuple[str, int, bytes, int]]:
    for _ in range(count):
        name, at = _name(data, at)
        kind, _, _, size = struct.unpack("!HHIH", data[at : at + 10])
        yield name, kind, data[at + 10 : at + 10 + size], at + 10
        at += 10 + size


def _record(data: bytes, kind: int, rdata: bytes, at: int) -> str:
    label = _TYPES.get(kind, f"Type{kind}")
    match kind:
        case 1 | 28:
            return f"{label} {ipaddress.ip_address(rdata)}"
        case 2 | 5 | 12:
            return f"{label} {_name(data, at)[0]}"
        case 33:
            priority, weight, port = struct.unpack("!HHH", rdata[:6])
            return f"{label} {_name(data, at + 6)[0]}:{port} {priority} {weight}"
        case 16:
            texts, i = [], 0
            while i < len(rdata):
                texts.append('"' + rdata[i + 1 : i + 1 + rdata[i]].decode("latin-1") + '"')
                i += 1 + rdata[i]
            return f"{label} {' '.join(texts)}"
        case 41:
            return "OPT UDPsize=" + str(len(rdata))
    return label


def _dns(data: bytes, verbose: bool) -> str:
    """A DNS message (print-domain.c)."""
    try:
        return _dns_message(data, verbose)
    except (IndexError, struct.error, ValueError):
        return "[|domain]" if len(data) >= 12 else f" [|domain] ({len(data)})".strip()


def _dns_message(data: bytes, verbose: bool) -> str:
    ident, flags, qd, an, ns, ar = struct.unpack("!HHHHHH", data[:12])
    at = 12
    questions = []
    for _ in range(qd):
        name, at = _name(data, at)
        kind, _ = struct.unpack("!HH", data[at : at + 4])
        at += 4
        questions.append(f"{_TYPES.get(kind, f'Type{kind}')}? {name}")
    if not flags & 0x8000:
        text = f"{ident}{'+' if flags & 0x0100 else ''}{'%' if flags & 0x0010 else ''}"
        for count, tag in ((an, "a"), (ns, "n"), (ar, "au")):
            if count:
                text += f" [{count}{tag}]"
        return f"{text} {' '.join(questions)} ({len(data)})"
    marks = ("*" if flags & 0x0400 else "") + ("" if flags & 0x0080 else "-") + ("|" if flags & 0x0200 else "") + ("$" if flags & 0x0020 else "")
    text = f"{ident}{_RCODES.get(flags & 15, f' Resp{flags & 15}')}{marks}"
    if qd != 1:
        text += f" [{qd}q]"
    text += f" {an}/{ns}/{ar}"
    shown = []
    for name, kind, rdata, where in _records(data, at, an):
        body = _record(data, kind, rdata, where)
        shown.append(f"{name} {body}" if verbose else body)
    if shown:
        text += " " + ", ".join(shown)
    return f"{text} ({len(data)})"
