"""The stub resolvers against what the real C libraries send (tests/conformance/dns/glibc.yaml, musl.yaml)."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.dns import Record, Response, parse_resolv_conf, resolve
from tests.dns.dns_fixtures import Scripted, table

GLIBC = table("glibc.yaml")["cases"]
MUSL = table("musl.yaml")["cases"]
#: addresses of the namespace at which no name server listens
NOBODY = "127.0.10.99"
ERRORS = {-2: "EAI_NONAME", -3: "EAI_AGAIN", -4: "EAI_FAIL", -5: "EAI_NODATA", -9: "EAI_ADDRFAMILY"}


def _said(query: Any, do: str) -> Response | None:
    if do == "silent":
        return None
    kind, _, data = do.partition(":")
    name = query.question.name
    if kind in ("A", "AAAA", "CNAME"):
        return query.reply(flags=("RA",), answer=(Record(name, kind, 5, data),))
    if kind == "TC":
        return query.reply(flags=("RA", "TC"))
    if kind == "LAME":
        return query.reply()
    return query.reply("NOERROR" if kind == "NODATA" else kind, flags=("RA",))


def _transport(rules: list[dict[str, Any]]) -> Scripted:
    def behave(query: Any, protocol: str, nth: int, server: str) -> Response | str | None:
        if server == NOBODY:
            return "ECONNREFUSED"
        facts = {"name": query.name, "type": query.type, "nth": nth, "server": server, "protocol": protocol}
        for rule in rules:
            if all(rule[k] == v for k, v in facts.items() if k in rule):
                return _said(query, rule["do"])
        return _said(query, "NXDOMAIN")

    return Scripted(behave)


def _run(case: dict[str, Any], resolver: str) -> Any:
    conf = parse_resolv_conf(case["resolv"])
    if "search ." in case["resolv"]:  # the kubelet drops a lone dot, the C library reads it
        searches = next(line for line in case["resolv"].splitlines() if line.startswith("search")).split()[1:]
        conf = type(conf)(conf.nameservers, tuple(searches), conf.options)
    hosts = case.get("hosts", "127.0.0.1 localhost\n")
    family = case.get("family", "any")
    return resolve(_transport(case["rules"]), "pod:default/probe", case["name"], conf, hosts=hosts, family=family, resolver=resolver)


def _visible(result: Any) -> list[Any]:
    """The packets that reach a name server."""
    return [q for q in result.queries if q.server != NOBODY]


def _packets(result: Any) -> list[list[Any]]:
    ports: dict[int, int] = {}
    return [
        [round(q.at), q.name, q.type, int(q.server.split(".")[-1]), ports.setdefault(q.source_port, len(ports)), q.protocol]
        for q in _visible(result)
    ]


@pytest.mark.parametrize("case", GLIBC, ids=[c["case"] for c in GLIBC])
def test_glibc(case: dict[str, Any]) -> None:
    result = _run(case, "glibc")
    assert sorted(result.addresses) == case["addresses"]
    assert result.error == case["error"]
    assert _packets(result) == case["packets"]
    assert round(result.elapsed) == case["seconds"]


@pytest.mark.parametrize("case", MUSL, ids=[c["case"] for c in MUSL])
def test_musl(case: dict[str, Any]) -> None:
    result = _run(case, "musl")
    assert sorted(result.addresses) == case["addresses"]
    assert result.error == case["error"]
    packets = [[round(2 * q.at) / 2, *rest[1:]] for q, rest in zip(_visible(result), _packets(result), strict=True)]
    assert sorted(packets) == sorted(case["packets"])
    assert round(2 * result.elapsed) / 2 == case["seconds"]


def _can_unshare() -> bool:
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, "-n", "-m", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.real
@pytest.mark.kernel
def test_the_real_c_library_does_the_same(require_that: Callable[..., None]) -> None:
    """Every case of the table without long waits, by getaddrinfo of this machine, in namespaces of its own."""
    libc, version = platform.libc_ver()
    require_that(libc == "glibc" and tuple(map(int, version.split(".")[:2])) >= (2, 36), "glibc 2.36 or newer", "glibc")
    require_that(_can_unshare(), "network and mount namespaces", "netns")
    quick = [c for c in GLIBC if c["seconds"] <= 1]
    assert len(quick) > 30
    differ = []
    # what disagrees is asked again: on a busy machine an answer can be there before the library has sent its second question
    for _ in range(3):
        differ = _unlike(quick if not differ else [case for case, _, _ in differ])
        if not differ:
            return
    raise AssertionError("\n".join(f"{case['case']}: the library {real}, the lab {lab}" for case, real, lab in differ))


def _unlike(cases: list[Any]) -> list[tuple[Any, Any, Any]]:
    """(case, what the C library did, what the lab does) where they are not the same: packets, addresses, error."""
    wanted = json.dumps([{k: c[k] for k in ("name", "family", "resolv", "hosts", "rules") if k in c} for c in cases])
    probe = Path(__file__).with_name("resolver_probe.py")
    done = subprocess.run(["unshare", "-n", "-m", sys.executable, str(probe)], input=wanted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    out = []
    for case, seen in zip(cases, json.loads(done.stdout), strict=True):
        ports: dict[int, int] = {}
        packets = [[n, t, int(s.split(".")[-1]), ports.setdefault(p, len(ports)), proto] for _, n, t, s, p, proto in seen["seen"]]
        model = _run(case, "glibc")
        real = (packets, seen["addresses"], ERRORS.get(seen["error"]))
        lab = ([p[1:] for p in _packets(model)], sorted(model.addresses), model.error)
        if real != lab:
            out.append((case, real, lab))
    return out
