"""The packets of kube-proxy's flow tests, sent through a cluster of real nodes and pods: where they end, and who has masqueraded them.

The rows are those of kube_proxy_flows.yaml; test_conformance_kube_proxy.py asks the same of the rules alone. Endpoints become pods with an
address of their node's range, 10.0.0.2 a pod of the first node, 203.0.113.x a machine outside that comes in over the first node.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import Doc, node, pod
from tests.conformance.services.service_tables import endpoint_slice, service, table

NODES = ("test-node", "remote", "third")
CLIENT = "10.180.0.200"
VERDICTS = {"REJECT": {"refused"}, "DROP": {"timeout"}, "": {"refused"}}  # nobody listens on the node itself
CASES = [c for c in table("kube_proxy_flows.yaml") if c["source"].startswith(("TestLoadB", "TestExternal", "TestInternal", "TestTermin"))]
DIFFERENCES = {"iptables": {}, "nftables": table("kube_proxy_nftables.yaml")["differences"]}
ROWS = [pytest.param(mode, case, id=f"{mode}: {case['source']}") for mode in DIFFERENCES for case in CASES]


def server(name: str, where: str, address: str) -> Doc:
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
    return pod(name, where, ports=(("http", 80, "TCP"),)) | {"status": status}


def built(mode: str, case: dict[str, Any]) -> tuple[kn.Cluster, dict[str, str]]:
    """The cluster, and of each endpoint of the table the address that its pod has here."""
    machines = [node(name, f"192.168.0.{i + 2}", f"10.180.{i}.0/24") for i, name in enumerate(NODES)]
    services = [service(s) for s in case["services"]]
    for one in services:  # the tables give one to every Service; the API server does not
        if one["spec"].get("externalTrafficPolicy") != "Local":
            one["spec"].pop("healthCheckNodePort", None)
    documents: list[Doc] = [*machines, server("client", NODES[0], CLIENT), *services]
    documents += [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": s["metadata"]["namespace"]}} for s in services]
    renamed: dict[str, str] = {}
    for number, row in enumerate(case.get("slices", []), 1):
        piece = endpoint_slice(row, number)
        for one in piece["endpoints"]:
            old, where = one["addresses"][0], one.get("nodeName", "")
            here = where if where in NODES else NODES[1]
            one["addresses"] = [f"10.180.{NODES.index(here)}.{10 * number + int(old.rsplit('.', 1)[1])}"]
            if where:
                one["nodeName"] = here
            renamed[old] = one["addresses"][0]
            documents.append(server(f"end-{number}-{here}-{old.replace('.', '-')}", here, one["addresses"][0]))
        documents.append(piece)
    proxy = kn.KubeProxy(mode=mode, **case.get("options", {}))
    cluster = kn.load(
        documents, proxy=proxy, service_cidr="172.30.0.0/16", pod_cidr="10.180.0.0/16", node_ports="3000-31000", cni="calico", dns="none"
    )
    return cluster, renamed


def sender(address: str) -> tuple[str, str | None]:
    if address.startswith("203.0.113."):
        return f"external:{address}", NODES[0]
    return ("default/client", None) if address == "10.0.0.2" else (f"node:{NODES[0]}", None)


@pytest.mark.parametrize(("mode", "case"), ROWS)
def test_packets_end_where_kube_proxys_tests_have_them(mode: str, case: dict[str, Any]) -> None:
    cluster, renamed = built(mode, case)
    for name, address, destination, port, output, masqueraded, *_ in case["flows"]:
        given = {"output": output, "masq": masqueraded, **case.get("overrides", {}).get(name, {}), **DIFFERENCES[mode].get(name, {})}
        source, via = sender(address)
        found = cluster.outcomes(source, destination, port=port, via=via)
        if given["output"] in VERDICTS:
            assert {o.verdict for o in found} == VERDICTS[given["output"]], name
            continue
        ends = [renamed[old] + ":" + at for old, at in (e.split(":") for e in given["output"].split(", "))]
        if via and not given["masq"]:  # a pod of another node then answers the machine outside by its own node: that answer fits nothing
            lost = [e for e in ends if not e.startswith("10.180.0.")]
            assert sum(o.probability for o in found if o.verdict == "timeout") == Fraction(len(lost), len(ends)), name
            found = [o for o in found if o.verdict != "timeout"]
            ends = [e for e in ends if e not in lost]
        assert {o.endpoint: o.probability * len(found) for o in found} == dict.fromkeys(ends, sum(o.probability for o in found)), name
        assert {(o.verdict, bool(o.masquerade)) for o in found} == {("delivered", given["masq"])}, name
