"""Messages as bytes: against dnspython's own packer, against real dig, and what does not fit."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.dns import DnsPayload, Query, Question, Record, Response, Server, Zones
from kubenet_lab.dns.dig import question_line, section_line
from kubenet_lab.dns.message import Edns, Flags, record
from kubenet_lab.dns.wire import BadMessage, parse, to_wire, truncate, wire_length
from kubenet_lab.objects.snapshot import Snapshot
from tests.dns.dns_fixtures import endpoint_slice, objects, service

RECORDS = (
    Record("a.test.", "A", 60, "192.0.2.1"),
    Record("a.test.", "AAAA", 60, "2001:db8::1"),
    Record("A.Test.", "CNAME", 5, "b.test."),
    Record("_http._tcp.a.test.", "SRV", 30, "0 33 80 x.a.test."),
    Record("test.", "SOA", 30, "ns.dns.test. hostmaster.test. 1 7200 1800 86400 30"),
    Record("v.test.", "TXT", 28800, '"1.1.0"'),
    Record("5.1.244.10.in-addr.arpa.", "PTR", 30, "x.svc.test."),
    Record("test.", "NS", 5, "ns.test."),
    Record("test.", "MX", 5, "10 mail.test."),
)


@pytest.mark.parametrize("r", RECORDS, ids=[r.type for r in RECORDS])
@pytest.mark.parametrize("compress", [False, True])
def test_a_record_survives_the_wire(r: Record, compress: bool) -> None:
    response = Response("NOERROR", (r,), (), (r,), Flags({"AA", "RD"}), Question("a.test.", "A"), 4711, Edns(1232, True), compress=compress)
    back = parse(to_wire(response))
    assert isinstance(back, Response)
    assert back == response.but(compress=False)
    assert record(str(r)) == r


def test_dnspython_reads_what_we_write_and_the_other_way_round() -> None:
    response = Response("NXDOMAIN", (), (RECORDS[4],), (), Flags({"AA", "RD", "RA", "AD", "CD"}), Question("no.test.", "AAAA"), 9)
    read = dns.message.from_wire(to_wire(response))
    assert read.id == 9 and read.rcode() == 3 and len(read.authority) == 1
    assert {"AA", "RD", "RA", "AD", "CD", "QR"} == set(dns.flags.to_text(read.flags).split())
    query = dns.message.make_query("Cart.shop.svc.cluster.local", "SRV", use_edns=0, payload=4096, want_dnssec=True, id=5)
    ours = parse(query.to_wire())
    assert ours == Query(Question("Cart.shop.svc.cluster.local.", "SRV"), 5, True, False, False, Edns(4096, True))
    assert to_wire(ours) == query.to_wire()


def test_lengths_are_those_of_the_bytes() -> None:
    query = DnsPayload(Query(Question("kubernetes.default.svc.cluster.local.", "A"), 1))
    assert len(query) == len(bytes(query)) == 12 + 38 + 4
    stream = DnsPayload(query.message, stream=True)
    assert len(stream) == len(query) + 2 and bytes(stream)[:2] == len(query).to_bytes(2, "big")
    assert query == DnsPayload(query.message) and query != stream and hash(query) == hash(DnsPayload(query.message))


def test_names_are_compressed_only_where_they_may_be() -> None:
    records = (Record("x.test.", "CNAME", 5, "y.test."), Record("y.test.", "SRV", 5, "0 1 80 y.test."))
    plain, packed = (wire_length(Response(answer=records, question=Question("x.test."), compress=c)) for c in (False, True))
    assert plain - packed == (8 - 2) + (8 - 4) + (8 - 2)  # two owners and a CNAME target; never an SRV target


@given(st.integers(512, 1500), st.integers(0, 80))
def test_a_cut_answer_fits_and_is_a_prefix(size: int, count: int) -> None:
    records = tuple(Record(f"n{i}.web.shop.svc.cluster.local.", "A", 30, f"10.0.0.{i}") for i in range(count))
    whole = Response(answer=records, question=Question("web.shop.svc.cluster.local."), edns=Edns(size))
    cut = truncate(whole, size)
    assert wire_length(cut) <= size and cut.answer == records[: len(cut.answer)]
    assert cut.truncated == (len(cut.answer) < count)
    if cut.truncated:
        assert wire_length(cut.but(answer=records[: len(cut.answer) + 1])) > size


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_one_clear_error(data: bytes) -> None:
    try:
        parse(data)
    except BadMessage as error:
        assert str(error).startswith("not a DNS message: ")


# --- real dig ----------------------------------------------------------------------------------------------------------
class Loopback:
    """The model behind a socket on 127.0.0.1, over UDP and TCP, for a real client."""

    def __init__(self, server: Server):
        self.server = server
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.create_server(("127.0.0.1", self.port))
        self.stop = False
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._datagrams, self._streams)]
        for thread in self.threads:
            thread.start()

    def _say(self, data: bytes, protocol: str) -> bytes:
        query = parse(data)
        assert isinstance(query, Query)
        return to_wire(self.server.answer(query, "127.0.0.1", protocol=protocol)[0])

    def _datagrams(self) -> None:
        while not self.stop:
            data, peer = self.udp.recvfrom(65535)
            if data:
                self.udp.sendto(self._say(data, "UDP"), peer)

    def _streams(self) -> None:
        while not self.stop:
            conn, _ = self.tcp.accept()
            with conn, conn.makefile("rwb") as file:
                while head := file.read(2):
                    reply = self._say(file.read(int.from_bytes(head, "big")), "TCP")
                    file.write(len(reply).to_bytes(2, "big") + reply)
                    file.flush()

    def close(self) -> None:
        self.stop = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", ("127.0.0.1", self.port))
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self.threads:
            thread.join(2)
        self.udp.close()
        self.tcp.close()


def _model() -> Server:
    many = endpoint_slice("many", "testns/many", *(f"10.1.0.{i}" for i in range(1, 61)), ports=["x/TCP/1"])
    things = [*objects("handler").all(), service("testns/many", "None"), many]
    text = (
        ". {\n kubernetes cluster.local in-addr.arpa ip6.arpa {\n pods insecure\n fallthrough in-addr.arpa ip6.arpa\n ttl 30\n }\n"
        " forward . 192.0.2.53\n cache 30\n loadbalance\n}"
    )
    return Server(text, Snapshot(things), local_ips=["10.244.0.2"])


@pytest.fixture(scope="module")
def loopback() -> Iterator[Loopback]:
    server = Loopback(_model())
    yield server
    server.close()


QUESTIONS = [
    "svc1.testns.svc.cluster.local A",
    "SVC1.testns.svc.Cluster.Local A",
    "svc1.testns.svc.cluster.local AAAA",
    "svc0.testns.svc.cluster.local A",
    "svc-dual-stack.testns.svc.cluster.local SRV",
    "_http._tcp.svc1.testns.svc.cluster.local SRV",
    "hdls1.testns.svc.cluster.local A",
    "external-to-service.testns.svc.cluster.local A",
    "external.testns.svc.cluster.local CNAME",
    "cluster.local SOA",
    "cluster.local NS",
    "dns-version.cluster.local TXT",
    "1.0.0.10.in-addr.arpa PTR",
    "10-1-2-3.testns.pod.cluster.local A",
    "foo.testns.pod.cluster.local A",
    "testns.svc.cluster.local A",
    "www.example.com A",
    "nosuch.example.com A",
    "example.com MX",
    "cluster.local AXFR",
]


def _dig(tool: str, port: int, question: str, *options: str) -> str:
    name, kind = question.split()
    command = [tool, "@127.0.0.1", "-p", str(port), "+tries=1", "+time=5", *options, name, kind]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20).stdout


def _sections(output: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    title = ""
    for line in output.splitlines():
        if line.endswith("SECTION:"):
            title = line.strip("; ").removesuffix(" SECTION:")
        elif line and title and (not line.startswith(";") or title == "QUESTION"):
            found.setdefault(title, []).append(line)
        elif not line:
            title = ""
    return found


@pytest.mark.real
@pytest.mark.parametrize("question", [q for q in QUESTIONS if "AXFR" not in q])
def test_dig_prints_what_the_model_prints(question: str, loopback: Loopback, require_tool: Callable[[str], str]) -> None:
    """rcode, flags, counts and every record line, tabs included."""
    output = _dig(require_tool("dig"), loopback.port, question, "+noedns", "+ignore")
    name, kind = question.split()
    model, _ = loopback.server.answer(Query(Question(name + ".", kind), ad=True))
    printed = str(model)
    header = [line for line in output.splitlines() if line.startswith((";; ->>HEADER<<-", ";; flags", ";; WARNING: rec"))]
    ours = [line for line in printed.splitlines() if line.startswith((";; ->>HEADER<<-", ";; flags", ";; WARNING: rec"))]
    assert [h.split(", id:")[0] for h in header] == [o.split(", id:")[0] for o in ours]
    assert _sections(output) == _sections(printed)
    assert f"MSG SIZE  rcvd: {wire_length(model)}" in output


@pytest.mark.real
def test_dig_falls_back_to_tcp_for_a_long_answer(loopback: Loopback, require_tool: Callable[[str], str]) -> None:
    tool, name = require_tool("dig"), "many.testns.svc.cluster.local A"
    short = _dig(tool, loopback.port, name, "+noedns", "+ignore")
    assert "flags: qr aa tc rd" in short and len(_sections(short)["ANSWER"]) < 60
    whole = _dig(tool, loopback.port, name, "+noedns")
    assert "Truncated, retrying in TCP mode" in whole and len(_sections(whole)["ANSWER"]) == 60
    wide = _dig(tool, loopback.port, name, "+bufsize=4096")
    assert len(_sections(wide)["ANSWER"]) == 60 and "Truncated" not in wide
    assert "(echoed)" in wide  # CoreDNS hands a client's cookie back as it came


@pytest.mark.real
def test_dig_is_refused_a_transfer_and_a_wrong_edns_version(loopback: Loopback, require_tool: Callable[[str], str]) -> None:
    tool = require_tool("dig")
    assert "; Transfer failed." in _dig(tool, loopback.port, "cluster.local AXFR")
    assert "status: BADVERS" in _dig(tool, loopback.port, "cluster.local A", "+edns=1", "+noednsnegotiation")


def test_columns_are_digs() -> None:
    assert section_line(Record("a.test.", "A", 60, "192.0.2.1")) == "a.test.\t\t\t60\tIN\tA\t192.0.2.1"
    assert (
        section_line(Record("kubernetes.default.svc.cluster.local.", "A", 30, "10.96.0.1"))
        == "kubernetes.default.svc.cluster.local. 30 IN A\t10.96.0.1"
    )
    assert question_line(Question("example.com.")) == ";example.com.\t\t\tIN\tA"


def test_a_zone_of_the_upstream_may_be_zone_file_text() -> None:
    text = '$TTL 60\n@ IN SOA ns hostmaster 1 2 3 4 30\n  IN NS ns\nns IN A 192.0.2.53\n*.w IN TXT "x"\nalias CNAME other.test.\n'
    zones = Zones({"corp.test": text, "other.test.": {"@": {"A": "192.0.2.9"}}})
    ask: Callable[..., Any] = lambda name, kind="A": zones.answer(Query(Question(name, kind)))  # noqa: E731
    assert ask("ns.corp.test.").addresses == ("192.0.2.53",) and ask("ns.corp.test.").flags == {"RD", "RA"}
    assert [r.data for r in ask("alias.corp.test.").answer] == ["other.test.", "192.0.2.9"]
    assert ask("a.b.w.corp.test.", "TXT").answer[0].data == '"x"' and ask("w.corp.test.").nodata
    assert (ask("no.corp.test.").rcode, ask("no.corp.test.").authority[0].name, ask("no.corp.test.").authority[0].ttl) == (
        "NXDOMAIN",
        "corp.test.",
        30,
    )
    assert ask("else.where.").authority[0].name == "." and ask("corp.test.", "MX").nodata
