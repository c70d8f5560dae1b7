"""The kubelet's resolv.conf and /etc/hosts (tests/conformance/dns/kubelet.yaml)."""

from __future__ import annotations

from typing import Any

import pytest

from kubenet_lab.dns import ResolvConf, hosts_file, parse_resolv_conf, resolv_conf
from kubenet_lab.dns.resolv import ResolvConfError, _fit_searches, _fit_servers, dns_type
from tests.dns.dns_fixtures import pod, table

TABLE = table("kubelet.yaml")
HOST = "nameserver 8.8.8.8\nsearch host.domain\n"


def _pod(policy: str = "ClusterFirst", host_network: bool = False, config: Any = None, key: str = "testNS/test_pod", **spec: Any) -> Any:
    body: dict[str, Any] = {"dnsPolicy": policy, "hostNetwork": host_network, **spec}
    if config is not None:
        options = [{"name": k, "value": v} for k, v in config.get("options", {}).items()]
        body["dnsConfig"] = {**config, "options": options}
    return pod(key, "10.244.1.7", spec=body)


@pytest.mark.parametrize("case", TABLE["files"])
def test_a_hosts_file(case: dict[str, Any]) -> None:
    if case.get("error"):
        with pytest.raises(ResolvConfError):
            parse_resolv_conf(case["text"])
        return
    read = parse_resolv_conf(case["text"])
    assert (list(read.nameservers), list(read.searches), sorted(read.options)) == (
        case["nameservers"],
        case["searches"],
        sorted(case["options"]),
    )


@pytest.mark.parametrize("case", TABLE["policies"])
def test_what_a_policy_comes_to(case: dict[str, Any]) -> None:
    assert dns_type(_pod(case["policy"], case.get("host_network", False))) == case["kind"]


@pytest.mark.parametrize("case", TABLE["pods"])
def test_a_pods_file(case: dict[str, Any]) -> None:
    made = resolv_conf(
        _pod(case["policy"], case.get("host_network", False), case.get("config")),
        node_resolv=HOST,
        cluster_dns=["10.0.0.10"],
        domain="kubernetes.io",
    )
    assert (list(made.nameservers), list(made.searches), sorted(made.options)) == (
        case["nameservers"],
        case["searches"],
        sorted(case["options"]),
    )
    assert made.events == ()


@pytest.mark.parametrize("case", TABLE["options"])
def test_options_merge_by_name(case: dict[str, Any]) -> None:
    host = f"nameserver 8.8.8.8\noptions {' '.join(case['file'])}\n"
    made = resolv_conf(_pod("Default", config={"options": case["pod"]}), node_resolv=host, cluster_dns=[])
    assert sorted(made.options) == sorted(case["merged"])


def _expand(given: list[Any]) -> list[str]:
    out: list[str] = []
    for item in given:
        if isinstance(item, dict) and "repeat" in item:
            letter, length, count = item["repeat"]
            out += [letter * length] * count
        elif isinstance(item, dict):
            out += [str(n) for n in range(1, item["numbers"] + 1)]
        else:
            out.append(item)
    return out


@pytest.mark.parametrize("case", TABLE["searches"])
def test_limits_of_the_search_list(case: dict[str, Any]) -> None:
    given, events = _expand(case["given"]), []
    kept = _fit_searches(tuple(given), events)
    wanted = [given[i] for i in (case["kept"] if isinstance(case["kept"], list) else range(case["kept"]))]
    assert list(kept) == wanted
    said = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is:"
    expected = f"Warning DNSConfigForming {said} {' '.join(wanted)}"
    assert [str(e) for e in events] == ([expected] if len(wanted) < len(given) else [])


@pytest.mark.parametrize("case", TABLE["nameservers"])
def test_limits_of_nameservers(case: dict[str, Any]) -> None:
    events: list[Any] = []
    assert list(_fit_servers(tuple(case["given"]), events)) == case["given"][: case["kept"]]
    assert [e.reason for e in events] == (["DNSConfigForming"] if case["kept"] < len(case["given"]) else [])


def test_without_cluster_dns_the_pod_falls_back_to_the_node_with_a_warning() -> None:
    made = resolv_conf(_pod(), node_resolv=HOST, cluster_dns=[])
    assert (made.nameservers, made.searches, made.options) == (("8.8.8.8",), ("host.domain",), ())
    assert [e.reason for e in made.events] == ["MissingClusterDNS"]
    assert 'Falling back to "Default" policy' in made.events[0].message


def test_an_empty_kubelet_setting_turns_names_off() -> None:
    """TestGetPodDNS with resolverConfig "": 127.0.0.1 and the search path "."."""
    made = resolv_conf(_pod("Default"), node_resolv=None, cluster_dns=["203.0.113.1"])
    assert (made.nameservers, made.searches) == (("127.0.0.1",), (".",))
    assert resolv_conf(_pod("Default"), node_resolv=None, cluster_dns=[], node_ips=["fd00::1", "10.0.0.1"]).nameservers == (
        "::1",
        "127.0.0.1",
    )
    cluster = resolv_conf(_pod(), node_resolv=None, cluster_dns=["203.0.113.1"], domain="kubernetes.io")
    assert cluster.searches == ("testNS.svc.kubernetes.io", "svc.kubernetes.io", "kubernetes.io")


def test_the_host_search_list_is_appended_without_repeats() -> None:
    made = resolv_conf(_pod(key="shop/web"), node_resolv="nameserver 8.8.8.8\nsearch cluster.local corp.test\n", cluster_dns=["10.96.0.10"])
    assert made.text == "search shop.svc.cluster.local svc.cluster.local cluster.local corp.test\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert str(made) == made.text and "<pre>" in made._repr_html_()


def test_numbers_are_read_as_the_libraries_read_them() -> None:
    conf = ResolvConf(options=("ndots:99", "timeout:40", "attempts:x", "debug"))
    assert (conf.ndots, conf.timeout, conf.attempts) == (15, 30, 0) and conf.option("debug")
    assert (ResolvConf().ndots, ResolvConf().timeout, ResolvConf().attempts) == (1, 5, 2)


def test_the_hosts_file_names_the_pod_itself() -> None:
    plain = hosts_file(_pod(key="shop/web-6c9d8-x2k"))
    assert "10.244.1.7\tweb-6c9d8-x2k\n" in plain and "127.0.0.1\tlocalhost\n" in plain
    named = hosts_file(_pod(key="data/db-0", hostname="db-0", subdomain="db"))
    assert "10.244.1.7\tdb-0.db.data.svc.cluster.local\tdb-0\n" in named
    aliased = hosts_file(_pod(hostAliases=[{"ip": "192.0.2.7", "hostnames": ["foo.remote", "bar.remote"]}]))
    assert aliased.endswith("\n# Entries added by HostAliases.\n192.0.2.7\tfoo.remote\tbar.remote\n")
    node = hosts_file(_pod(host_network=True, hostAliases=[{"ip": "192.0.2.7", "hostnames": ["a"]}]), node_hosts="10.0.0.1\tworker-1\n")
    assert node == "# Kubernetes-managed hosts file (host network).\n10.0.0.1\tworker-1\n\n# Entries added by HostAliases.\n192.0.2.7\ta\n"
    assert "\t" + "p" * 63 + "\n" in hosts_file(_pod(key="shop/" + "p" * 80))
