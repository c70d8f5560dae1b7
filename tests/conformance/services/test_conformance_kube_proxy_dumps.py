"""Everything that kube-proxy hands over in one sync, line by line: upstream's own dumps, and the order that its source gives."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.services import IptablesText, rules
from tests.conformance.services.service_tables import HERE, NODE, case_snapshot, options, table

Dump = dict[str, dict[str, list[str]]]

LAST = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
FIXED: Dump = {
    "filter": {
        "KUBE-NODEPORTS": [],
        "KUBE-EXTERNAL-SERVICES": [],
        "KUBE-FIREWALL": [
            '-m comment --comment "block incoming localnet connections" -d 127.0.0.0/8 ! -s 127.0.0.0/8'
            " -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        ],
        "KUBE-FORWARD": [
            "-m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP",
            '-m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT',
            '-m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        ],
        "KUBE-PROXY-FIREWALL": [],
    },
    "nat": {
        "KUBE-NODEPORTS": [],
        "KUBE-MARK-MASQ": ["-j MARK --or-mark 0x4000"],
        "KUBE-POSTROUTING": [
            "-m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-j MARK --xor-mark 0x4000",
            '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE',
        ],
    },
}


def dump(text: IptablesText) -> tuple[Dump, list[str]]:
    """The chains with their rules, as upstream compares them (the order of chains aside), and the chains that go."""
    found: Dump = {"filter": {}, "nat": {}}
    gone = []
    for name, chains in found.items():
        for line in text.table(name):
            verb, _, rest = line.replace("0x00004000", "0x4000").partition(" ")
            if verb == "-X":
                gone.append(rest)
            elif verb == "-A":
                chain, _, rule = rest.partition(" ")
                chains[chain].append(rule)
            else:
                assert rest == "- [0:0]" and verb[1:] not in chains
                chains[verb[1:]] = []
    return found, gone


WHOLE = [c for c in table("kube_proxy_rules.yaml") if c.get("whole")]


@pytest.mark.parametrize("case", WHOLE, ids=[c["source"] for c in WHOLE])
def test_whole_dump(case: dict[str, Any]) -> None:
    found, gone = dump(rules(case_snapshot(case), NODE, options(case, random_fully=False, nfacct=True)))
    assert found == {"filter": case["filter"], "nat": case["nat"]} and gone == []


def test_one_sync_after_the_other() -> None:
    services: dict[str, list[Any]] = {}
    endpoints: dict[str, list[str]] = {}
    chains: set[str] = set()
    for step in table("kube_proxy_syncs.yaml"):
        services |= step.get("set", {})
        endpoints |= step.get("endpoints", {})
        services = {key: given for key, given in services.items() if given}
        endpoints = {key: given for key, given in endpoints.items() if key in services}
        case = {
            "services": [{"key": k, "spec": {"clusterIP": ip, "ports": [{"name": n, "port": p}]}} for k, (ip, n, p) in services.items()],
            "slices": [{"service": k, "ports": {services[k][1]: services[k][2]}, "endpoints": e} for k, e in endpoints.items()],
        }
        changed = None if step.get("full") else {*step.get("set", {}), *step.get("endpoints", {})}
        proxy = options({}, random_fully=False, nfacct=True)
        text = rules(case_snapshot(case), NODE, proxy, existing_chains=chains | {"CNI-1234"}, changed=changed)

        to = {k: (f"{k}:{name}", f"-m tcp -p tcp -d {ip} --dport {port}") for k, (ip, name, port) in services.items()}
        expected = {name: dict(fixed) for name, fixed in FIXED.items()}
        expected["filter"]["KUBE-SERVICES"] = [
            f'-m comment --comment "{to[k][0]} has no endpoints" {to[k][1]} -j REJECT' for k in step.get("refused", ())
        ]
        expected["nat"]["KUBE-SERVICES"] = [
            *(f'-m comment --comment "{to[k][0]} cluster IP" {to[k][1]} -j KUBE-SVC-{chain}' for k, chain in step["services"].items()),
            f'-m comment --comment "{LAST}" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS',
        ]
        expected["nat"] |= {**step.get("chains", {}), **{chain: [] for chain in step.get("deleted", ())}}
        assert dump(text) == (expected, step.get("deleted", [])), step["step"]
        chains = (chains | expected["nat"].keys()) - set(step.get("deleted", ()))


def test_the_order_of_a_whole_text() -> None:
    """proxier.go, syncProxyRules, from top to bottom: upstream's tests sort before they compare, so nothing of theirs holds the order."""
    affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
    everything = {
        "key": "ns1/svc1",
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "172.30.0.41",
            "ports": [{"name": "p80", "port": 80, "nodePort": 3001}],
            "externalIPs": ["192.168.99.11"],
            "externalTrafficPolicy": "Local",
            "internalTrafficPolicy": "Local",
            "healthCheckNodePort": 30000,
            "loadBalancerSourceRanges": ["192.168.0.0/24", "203.0.113.0/25"],
            **affinity,
        },
        "ingress": [{"ip": "1.2.3.4"}, {"ip": "5.6.7.8"}],
    }
    case = {
        "services": [
            everything,
            {"key": "ns2/svc2", "spec": {"clusterIP": "172.30.0.42", "ports": [{"port": 53, "protocol": "UDP"}]}},
            {
                "key": "ns3/svc3",
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "172.30.0.43",
                    "externalTrafficPolicy": "Local",
                    "ports": [{"name": "p80", "port": 80, "nodePort": 3003}],
                },
            },
        ],
        "slices": [
            {"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": ["10.180.0.1@test-node", "10.180.2.1@node2"]},
            {"service": "ns3/svc3", "ports": {"p80": 80}, "endpoints": ["10.180.2.3@node2"]},
        ],
    }
    text = rules(case_snapshot(case), NODE, options({}, nfacct=True), existing_chains=["KUBE-SEP-AAAAAAAAAAAAAAAA", "DOCKER"])
    assert text.text.splitlines() == (HERE / "kube_proxy_written.rules").read_text().splitlines()


NEW = "-m conntrack --ctstate NEW -m comment --comment"
#: proxier.go, iptablesJumpChains and iptablesKubeletJumpChains, in their order: each is put at the head of its chain
JUMPS = {
    "filter": [
        f'-I INPUT {NEW} "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
        f'-I FORWARD {NEW} "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES',
        '-I INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
        f'-I FORWARD {NEW} "kubernetes service portals" -j KUBE-SERVICES',
        f'-I OUTPUT {NEW} "kubernetes service portals" -j KUBE-SERVICES',
        '-I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
        f'-I INPUT {NEW} "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        f'-I OUTPUT {NEW} "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        f'-I FORWARD {NEW} "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL',
        "-I INPUT -j KUBE-FIREWALL",
        "-I OUTPUT -j KUBE-FIREWALL",
    ],
    "nat": [
        '-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    ],
}


def test_jumps_and_canaries() -> None:
    text = rules(case_snapshot({}), NODE, options({"options": {"localhost_node_ports": False}}))
    found: dict[str, list[str]] = {}
    for line in text.jumps.splitlines():
        if line.startswith("*"):
            found[line[1:]] = rows = []
        elif line.startswith("-"):
            rows.append(line)
    assert found == JUMPS
    assert "KUBE-FIREWALL" not in text.text, "its chain is made with the jumps, its rule comes with localhost node ports"
    assert text.canaries == "".join(f"*{table}\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n" for table in ("mangle", "nat", "filter"))


def test_one_name_in_both_families() -> None:
    """The hash of a Service port has no family in it, that of an endpoint has its address; each family has tables of its own."""
    spec = {"clusterIP": "172.30.0.41", "clusterIPs": ["172.30.0.41", "fd00:172:30::41"], "ports": [{"name": "p80", "port": 80}]}
    ends = [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": [ip]} for ip in ("10.180.0.1", "fd00:10:180::1")]
    case = {"services": [{"key": "ns1/svc1", "spec": spec}], "slices": ends}
    four, six = (rules(case_snapshot(case), NODE, options({}), family=f) for f in (4, 6))
    shown = ((four, "172.30.0.41", "10.180.0.1:80", "10.0.0.0/8"), (six, "fd00:172:30::41", "[fd00:10:180::1]:80", "fd00:10::/64"))
    for text, ip, end, local in shown:
        mark, choice = text.chain("KUBE-SVC-XPGD46QRK7WJZT7O")
        assert f"-d {ip} --dport 80 ! -s {local} -j KUBE-MARK-MASQ" in mark and f'"ns1/svc1:p80 -> {end}"' in choice
    assert four.chain("KUBE-SEP-SXIVWICOYRO3J4NJ") and not six.chain("KUBE-SEP-SXIVWICOYRO3J4NJ")


COUNTS = [(c["type"], *row) for c in table("kube_proxy_counts.yaml") for row in c["rows"]]


@pytest.mark.parametrize(("kind", "services", "endpoints", "filter_rules", "nat_rules"), COUNTS)
def test_number_of_rules(kind: str, services: int, endpoints: int, filter_rules: int, nat_rules: int) -> None:
    rows, slices = [], []
    for i in range(services):
        spec: dict[str, Any] = {"type": kind, "clusterIP": f"10.0.0.{1 + i}", "ports": [{"name": "8080", "port": 80 + i}]}
        if kind == "LoadBalancer":
            spec["ports"][0]["nodePort"] = 30000 + i
            spec |= {"externalIPs": ["1.2.3.4"], "loadBalancerSourceRanges": [" 1.2.3.4/28"], "healthCheckNodePort": 32000 + services + i}
        rows.append({"key": f"namespace/svc{i}", "spec": spec, "ingress": [{"ip": "1.2.3.4"}] if kind == "LoadBalancer" else []})
        ips = [f"172.16.0.{1 + j}" for j in range(endpoints)]
        slices.append({"service": f"namespace/svc{i}", "ports": {"8080": 8080}, "endpoints": ips})
    text = rules(case_snapshot({"services": rows, "slices": slices}), NODE, options({}))
    counted = {name: len([line for line in text.table(name) if line.startswith("-A")]) for name in ("filter", "nat")}
    ends = len([c for c in text.origins if c.startswith("KUBE-FW-")])
    assert ends == (services if kind == "LoadBalancer" and endpoints else 0)
    assert counted == {"filter": filter_rules + 1, "nat": nat_rules + ends}


# TestNoEndpointsMetric: Services that drop here since no endpoint is local; (internal Local, external Local, nodes, internal, external)
NO_LOCAL = [
    (True, False, ("test-node", "node1", "node2"), 0, 0),
    (False, True, ("test-node", "node1", "node2"), 0, 0),
    (True, True, ("test-node", "node1", "node2"), 0, 0),
    (True, False, ("node0", "node1", "node2"), 1, 0),
    (False, True, ("node0", "node1", "node2"), 0, 1),
    (True, True, ("node0", "node1", "node2"), 1, 1),
    (True, True, (), 0, 0),
]


@pytest.mark.parametrize(("internal", "external", "nodes", "drops_inside", "outside"), NO_LOCAL)
def test_drops_without_a_local_endpoint(internal: bool, external: bool, nodes: tuple[str, ...], drops_inside: int, outside: int) -> None:
    spec: dict[str, Any] = {"clusterIP": "172.30.1.1", "ports": [{"port": 80, "nodePort": 123}]}
    spec |= {"internalTrafficPolicy": "Local"} if internal else {}
    spec |= {"type": "NodePort", "externalTrafficPolicy": "Local"} if external else {}
    slices = [{"service": "ns1/svc1", "ports": {"": 80}, "endpoints": [f"10.0.1.{i}@{n}" for i, n in enumerate(nodes, 1)]}]
    text = rules(case_snapshot({"services": [{"key": "ns1/svc1", "spec": spec}], "slices": slices}), NODE, options({}))
    dropped = [sum(r.endswith("-j DROP") for r in text.chain(c, "filter")) for c in ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES")]
    assert dropped == [drops_inside, outside]
