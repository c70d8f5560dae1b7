"""kube-proxy's iptables text as a whole: structure, origins, options, and that the real iptables takes it."""

from __future__ import annotations

import random
import subprocess

import pytest

from kubenet_lab.errors import KubenetError, NotModelled
from kubenet_lab.services import KubeProxy, NodeView, rules, service_ports
from kubenet_lab.services.iptables_names import endpoint_chain, port_hash
from tests.conformance.services.service_tables import NODE, case_snapshot, options, table, tables_of

CASE = next(c for c in table("kube_proxy_rules.yaml") if c["source"] == "TestOverallIPTablesRules")


def test_names():
    """proxier.go: base32 of the SHA-256, cut at 16."""
    assert port_hash("ns1/svc1:p80", "tcp") == "XPGD46QRK7WJZT7O"
    assert endpoint_chain("ns1/svc1:p80", "tcp", "10.180.0.1:80") == "KUBE-SEP-SXIVWICOYRO3J4NJ"


def test_other_modes_are_not_modelled():
    for mode in ("nftables", "ipvs"):
        with pytest.raises(NotModelled, match=f"kube-proxy mode {mode}"):
            rules(case_snapshot(CASE), NODE, KubeProxy(mode=mode))


@pytest.mark.parametrize(
    "given",
    [
        {"mode": "userspace"},
        {"detect_local_mode": "Guess"},
        {"masquerade_bit": 32},
        {"cluster_cidr": "10.0.0.0/33"},
        {"cluster_cidr": "192.168.59.0"},
        {"cluster_cidr": "192.168.59.0/24, fd00:192:168::/64"},
        {"cluster_cidr": "10.0.0.0/8,10.1.0.0/16"},
        {"cluster_cidr": "192.168.59.0/24,fd00:192:168::/64,10.0.0.0/16"},
        {"node_port_addresses": ["x"]},
        {"node_port_addresses": ["10.0.0.1"]},
        {"node_port_addresses": ["primary", "10.0.0.0/8"]},
        {"detect_local_mode": "BridgeInterface", "interface_name_prefix": "eth0"},
        {"detect_local_mode": "InterfaceNamePrefix"},
    ],
)
def test_bad_options(given):
    """pkg/proxy/apis/config/validation/validation_test.go"""
    with pytest.raises(KubenetError, match="found .* expected"):
        KubeProxy(**given)


def test_every_jump_has_its_chain_and_every_chain_a_jump():
    text = rules(case_snapshot(CASE), NODE, options(CASE))
    for name, chains in tables_of(text).items():
        targets = {r.target for rules_ in chains.values() for r in rules_ if r.target.startswith("KUBE-")}
        declared = {c for c in chains if c.startswith("KUBE-")}
        assert targets == declared, name


def test_base_chains_meet_the_jumps_in_this_order():
    """Each is inserted at the head: the last inserted is met first (iptables-save of a kubeadm node shows the same)."""
    chains = tables_of(rules(case_snapshot(CASE), NODE, options(CASE)))
    met = {name: [r.target for r in chains["filter"][name]] for name in ("INPUT", "FORWARD", "OUTPUT")}
    assert met == {
        "INPUT": ["KUBE-FIREWALL", "KUBE-PROXY-FIREWALL", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES"],
        "FORWARD": ["KUBE-PROXY-FIREWALL", "KUBE-FORWARD", "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"],
        "OUTPUT": ["KUBE-FIREWALL", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES"],
    }
    assert {c: [r.target for r in chains["nat"][c]] for c in ("PREROUTING", "OUTPUT", "POSTROUTING")} == {
        "PREROUTING": ["KUBE-SERVICES"],
        "OUTPUT": ["KUBE-SERVICES"],
        "POSTROUTING": ["KUBE-POSTROUTING"],
    }


def test_origins():
    text = rules(case_snapshot(CASE), NODE, options(CASE))
    assert text.origins["KUBE-SVC-XPGD46QRK7WJZT7O"] == "Service ns1/svc1 port p80"
    assert text.origins["KUBE-SEP-SXIVWICOYRO3J4NJ"] == "endpoint 10.180.0.1:80"
    assert text.origins["KUBE-EXT-GNZBNJ2PO5MGZ6GT"] == "Service ns2/svc2 port p80, from outside"
    declared = {line[1:].split()[0] for name in ("nat", "filter") for line in text.table(name) if line.startswith(":")}
    assert declared <= text.origins.keys()
    [reject] = text.chain("KUBE-SERVICES", "filter")
    assert text.rule_origins[reject] == "Service ns6/svc6 port p80"


def test_shared_view_gives_the_same_text():
    objects = case_snapshot(CASE)
    assert rules(service_ports(objects), NODE, options(CASE)).text == rules(objects, NODE, options(CASE)).text


@pytest.mark.parametrize(
    ("given", "not_local", "local"),
    [
        ({}, "! -s 10.0.0.0/8", "-s 10.0.0.0/8"),
        ({"cluster_cidr": "fd00::/48,10.244.0.0/16"}, "! -s 10.244.0.0/16", "-s 10.244.0.0/16"),
        ({"detect_local_mode": "NodeCIDR"}, "! -s 10.244.7.0/24", "-s 10.244.7.0/24"),
        ({"detect_local_mode": "BridgeInterface", "bridge_interface": "cni0"}, "! -i cni0", "-i cni0"),
        ({"detect_local_mode": "InterfaceNamePrefix", "interface_name_prefix": "veth"}, "! -i veth+", "-i veth+"),
    ],
)
def test_detect_local(given, not_local, local):
    """pkg/proxy/util/localdetector_test.go"""
    node = NodeView("test-node", ("192.168.0.2",), pod_cidrs=("10.244.7.0/24", "fd00:7::/64"))
    text = rules(case_snapshot(CASE), node, options({"options": given}))
    assert f"--dport 80 {not_local} -j KUBE-MARK-MASQ" in text.chain("KUBE-SVC-XPGD46QRK7WJZT7O")[0]
    assert f'external destinations" {local} -j KUBE-SVC-GNZBNJ2PO5MGZ6GT' in text.chain("KUBE-EXT-GNZBNJ2PO5MGZ6GT")[0]


def test_detect_local_in_the_other_family():
    spec = {"clusterIP": "fd00:172:30::1", "ports": [{"port": 80}]}
    case = {"services": [{"key": "a/b", "spec": spec}], "slices": [{"service": "a/b", "ports": {"": 80}, "endpoints": ["fd00:10::1"]}]}
    node = NodeView("test-node", ("192.168.0.2",), pod_cidrs=("10.244.7.0/24", "fd00:7::/64"))
    for given, local in (({"detect_local_mode": "NodeCIDR"}, "fd00:7::/64"), ({"cluster_cidr": "10.0.0.0/8,fd00:9::/48"}, "fd00:9::/48")):
        text = rules(case_snapshot(case), node, options({"options": given}), family=6).text
        assert f"--dport 80 ! -s {local} -j KUBE-MARK-MASQ" in text


def test_no_counter_where_loopback_has_no_node_ports():
    text = rules(case_snapshot(CASE), NODE, options(CASE, nfacct=True, localhost_node_ports=False))
    assert "localhost_nps_accepted_pkts" not in text.text and "ct_state_invalid_dropped_pkts" in text.text


def test_the_nodes_own_address_among_the_ranges_in_ipv6():
    spec = {"type": "LoadBalancer", "clusterIP": "fd00:172:30::1", "ports": [{"port": 80}]}
    for ranges, own in (["2001:db8::/64", True], ["2001:db8:9::/64", False]):
        row = {"key": "a/b", "spec": {**spec, "loadBalancerSourceRanges": [ranges]}, "ingress": [{"ip": "2001:db8:5::5"}]}
        slices = [{"service": "a/b", "ports": {"": 80}, "endpoints": ["fd00:10::1"]}]
        text = rules(case_snapshot({"services": [row], "slices": slices}), NODE, family=6).text
        assert ("-s 2001:db8:5::5 -j KUBE-EXT-" in text) == own


def test_without_a_way_to_detect_nothing_is_marked():
    for given in (
        {"cluster_cidr": None},
        {"cluster_cidr": "fd00::/48"},
        {"detect_local_mode": "NodeCIDR"},
    ):
        text = rules(case_snapshot(CASE), NODE, options({"options": given}))
        assert not [r for r in text.chain("KUBE-SVC-XPGD46QRK7WJZT7O") if "MARK" in r]


def test_ranges_that_name_everybody_make_no_firewall():
    """serviceport.go: 0.0.0.0/0 among the ranges is as if there were none; a range of the other family is none of this one."""
    spec = {"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": [{"port": 80}]}
    for ranges, firewall in ((["203.0.113.0/25"], True), (["203.0.113.0/25", "0.0.0.0/0"], False), (["2001:db8::/32"], False)):
        row = {"key": "a/b", "spec": {**spec, "loadBalancerSourceRanges": ranges}, "ingress": [{"ip": "1.2.3.4"}]}
        slices = [{"service": "a/b", "ports": {"": 80}, "endpoints": ["10.1.0.1"]}]
        text = rules(case_snapshot({"services": [row], "slices": slices}), NODE)
        assert bool(text.chain("KUBE-PROXY-FIREWALL", "filter")) == firewall == any(c.startswith("KUBE-FW-") for c in text.origins)


def test_masquerade_bit():
    text = rules(case_snapshot(CASE), NODE, options(CASE, masquerade_bit=15)).text
    assert "0x00008000/0x00008000" in text and "4000" not in text


@pytest.mark.parametrize(
    ("given", "family", "expected"),
    [
        ({}, 4, ["-m addrtype --dst-type LOCAL"]),
        ({"localhost_node_ports": False}, 4, ["-m addrtype --dst-type LOCAL ! -d 127.0.0.0/8"]),
        ({}, 6, ["-m addrtype --dst-type LOCAL ! -d ::1/128"]),
        ({"node_port_addresses": ["0.0.0.0/0"]}, 4, ["-m addrtype --dst-type LOCAL"]),
        ({"node_port_addresses": ["192.168.0.0/16"]}, 4, ["-d 192.168.0.2", "-d 192.168.1.2", "-d 192.168.99.11"]),
        ({"node_port_addresses": ["primary"]}, 4, ["-d 192.168.0.2"]),
        ({"node_port_addresses": ["primary"]}, 6, ["-d 2001:db8::1"]),
        ({"node_port_addresses": ["127.0.0.0/8"]}, 4, ["-d 127.0.0.1"]),
        ({"node_port_addresses": ["127.0.0.0/8"], "localhost_node_ports": False}, 4, []),
        ({"node_port_addresses": ["10.9.0.0/16"]}, 4, []),
        ({"node_port_addresses": ["10.9.0.0/16"]}, 6, ["-m addrtype --dst-type LOCAL ! -d ::1/128"]),
    ],
)
def test_where_node_ports_are_served(given, family, expected):
    """pkg/proxy/util/nodeport_addresses_test.go; --nodeport-addresses of kube-proxy."""
    text = rules(case_snapshot({}), NODE, options({"options": given}), family=family)
    found = [r for r in text.chain("KUBE-SERVICES") if r.endswith("-j KUBE-NODEPORTS")]
    assert [r.split('in this chain" ')[1].removesuffix(" -j KUBE-NODEPORTS") for r in found] == expected


def test_primary_on_a_node_without_an_address_of_the_family():
    """cmd/kube-proxy/app/server.go: no address of the family, nothing given for it."""
    text = rules(case_snapshot({}), NodeView("n", ("192.168.0.2",)), options({"options": {"node_port_addresses": ["primary"]}}), family=6)
    assert text.chain("KUBE-SERVICES")[-1].endswith("-m addrtype --dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS")


def test_route_localnet_only_where_loopback_is_served():
    assert rules(case_snapshot({}), NODE, KubeProxy()).sysctls == {"net.ipv4.conf.all.route_localnet": "1"}
    assert rules(case_snapshot({}), NODE, KubeProxy(node_port_addresses=["192.168.0.0/16"])).sysctls == {}
    assert rules(case_snapshot({}), NODE, KubeProxy(), family=6).sysctls == {}


def test_affinity_without_a_timeout_is_three_hours():
    spec = {"clusterIP": "10.96.0.9", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}
    objects = case_snapshot(
        {
            "services": [{"key": "a/b", "spec": spec}],
            "slices": [{"service": "a/b", "ports": {"": 80}, "endpoints": ["10.1.0.1", "10.1.0.2"]}],
        }
    )
    [chain] = [c for c in rules(objects, NODE).origins if c.startswith("KUBE-SVC-")]
    lines = rules(objects, NODE).chain(chain)
    assert ["--seconds 10800 --reap" in line for line in lines] == [True, True, False, False]


def random_case(seed):
    draw = random.Random(seed)
    services, slices = [], []
    for i in range(draw.randint(1, 6)):
        key = f"ns{i % 3}/svc{i}"
        spec = {"type": draw.choice(["ClusterIP", "NodePort", "LoadBalancer"]), "clusterIP": f"172.30.{i}.1"}
        spec["ports"] = [
            {"name": f"p{j}", "port": 80 + j, "protocol": draw.choice(["TCP", "UDP", "SCTP"])} for j in range(draw.randint(1, 3))
        ]
        if spec["type"] != "ClusterIP":
            spec["externalTrafficPolicy"] = draw.choice(["Local", "Cluster"])
            for j, port in enumerate(spec["ports"]):
                port["nodePort"] = 30000 + 10 * i + j
        spec["internalTrafficPolicy"] = draw.choice(["Local", "Cluster", "Cluster"])
        if draw.random() < 0.4:
            spec |= {"sessionAffinity": "ClientIP"}
        if draw.random() < 0.3:
            spec["externalIPs"] = ["203.0.113.77"]
        row = {"key": key, "spec": spec}
        if spec["type"] == "LoadBalancer":
            row["ingress"] = [{"ip": f"198.51.100.{i}"}]
            spec["healthCheckNodePort"] = 31000 + i
            if draw.random() < 0.5:
                spec["loadBalancerSourceRanges"] = ["192.168.0.0/24", "203.0.113.0/25"]
        services.append(row)
        count = draw.choice([0, 1, 2, 5])
        states = ["", "", "", "!unready", "!terminating", "!dead"]
        endpoints = [f"10.1.{i}.{n}@{draw.choice(['test-node', 'other'])}{draw.choice(states)}" for n in range(count)]
        ports = {p["name"]: f"{8000 + p['port']}/{p['protocol']}" for p in spec["ports"]}
        slices.append({"service": key, "ports": ports, "endpoints": endpoints})
    return {"services": services, "slices": slices}


@pytest.mark.parametrize("seed", range(20))
def test_random_services_leave_no_loose_end(seed):
    text = rules(case_snapshot(random_case(seed)), NODE, options({}))
    for name, chains in tables_of(text).items():
        targets = {r.target for rules_ in chains.values() for r in rules_ if r.target.startswith("KUBE-")}
        always = {"KUBE-MARK-MASQ"} if name == "nat" else set()  # written even where nothing has to be marked
        assert targets | always == {c for c in chains if c.startswith("KUBE-")}


REAL = [*table("kube_proxy_rules.yaml"), *table("kube_proxy_flows.yaml"), *(random_case(s) for s in range(4))]


@pytest.mark.real
@pytest.mark.parametrize("tool", ["iptables-legacy", "iptables-nft"])
def test_the_real_iptables_takes_it(tool, require_tool, require_that):
    """Loads what kube-proxy hands over into a fresh network namespace, and counts the rules that iptables-save shows."""
    restore, unshare = require_tool(f"{tool}-restore"), require_tool("unshare")
    save = require_tool(f"{tool}-save")
    probe = subprocess.run([unshare, "-n", "true"], capture_output=True)
    require_that(probe.returncode == 0, "network namespaces", "netns")
    texts = []
    for case in REAL:
        given = {**case.get("options", {}), "nfacct": False}  # the counters need objects made by another tool
        texts.append(rules(case_snapshot(case), NODE, options({"options": given})))
    script = ["set -e"]
    for text in texts:
        # as kube-proxy does: --noflush --counters; the base chains are emptied between the cases
        script += ["for t in nat filter mangle; do printf '*%s\\nCOMMIT\\n' $t | " + restore + "; done"]
        for part in (text.canaries, text.jumps, text.text):
            script += [f"{restore} --noflush --counters <<'END'\n{part}END"]
        script += [f"{save} -t nat; {save} -t filter; echo '=== end'"]
    run = subprocess.run([unshare, "-n", "sh", "-s"], input="\n".join(script), capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr.strip(), run.stderr
    for text, shown in zip(texts, run.stdout.split("=== end\n"), strict=False):
        handed_over = [line for line in (text.jumps + text.text).splitlines() if line.startswith(("-A", "-I"))]
        assert len([line for line in shown.splitlines() if line.startswith("-A")]) == len(handed_over)


@pytest.mark.real
def test_the_real_ip6tables_takes_it(require_tool, require_that):
    restore, unshare = require_tool("ip6tables-restore"), require_tool("unshare")
    require_that(subprocess.run([unshare, "-n", "true"], capture_output=True).returncode == 0, "network namespaces", "netns")
    spec = {"type": "NodePort", "clusterIP": "fd00:172:30::41", "ports": [{"name": "p80", "port": 80, "nodePort": 3001}]}
    endpoints = ["fd00:10:180::1", "fd00:10:180::2:1@test-node"]
    objects = case_snapshot(
        {"services": [{"key": "ns1/svc1", "spec": spec}], "slices": [{"service": "ns1/svc1", "ports": {"p80": 80}, "endpoints": endpoints}]}
    )
    text = rules(objects, NODE, options({}), family=6)
    assert "-j DNAT --to-destination [fd00:10:180::1]:80" in text.text
    script = f"set -e\n{restore} --noflush <<'END'\n{text.jumps}END\n{restore} --noflush --counters <<'END'\n{text.text}END\n"
    run = subprocess.run([unshare, "-n", "sh", "-c", script], capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr.strip(), run.stderr
