"""The runtime's side of the contract: order, results, errors, what is remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubenet_lab.cni import CniError, NetworkList, PluginHost, Result, Runtime
from kubenet_lab.cni.contract import Call, Plugin
from kubenet_lab.cni.result import CODES, Dns, Interface, IpConfig, RouteConfig
from kubenet_lab.kernel.network import Network


class Spy:
    """Writes down what it is called with."""

    def __init__(self, type: str, log: list[tuple[str, str, Any]], fail: dict[str, CniError] | None = None):
        self.type, self.log, self.fail = type, log, fail or {}

    def _note(self, command: str, call: Call) -> None:
        prev = call.config.get("prevResult")
        self.log.append((command, self.type, prev["ips"][-1]["address"] if prev else None))
        self.config = call.config
        if command in self.fail:
            raise self.fail[command]

    def add(self, call: Call) -> Result:
        self._note("ADD", call)
        before = call.prev_result or Result()
        return Result(before.interfaces, (*before.ips, IpConfig(f"10.0.0.{len(before.ips) + 1}/24")), cni_version=call.version)

    def delete(self, call: Call) -> None:
        self._note("DEL", call)

    def check(self, call: Call) -> None:
        self._note("CHECK", call)

    def gc(self, call: Call) -> None:
        self._note("GC", call)

    def status(self, call: Call) -> None:
        self._note("STATUS", call)


def setup(
    version: str = "1.1.0", fail: dict[str, dict[str, CniError]] | None = None, **more: Any
) -> tuple[Runtime, NetworkList, list[Any], dict[str, Spy]]:
    log: list[Any] = []
    spies = {t: Spy(t, log, (fail or {}).get(t)) for t in ("a", "b", "c")}
    net = Network()
    net.add_host("n")
    conf = NetworkList.parse({"name": "net", "cniVersion": version, "plugins": [{"type": t} for t in spies], **more})
    plugins: dict[str, Plugin] = dict(spies)
    return Runtime(PluginHost(net, "n", plugins)), conf, log, spies


def test_add_goes_forward_each_with_the_result_before() -> None:
    runtime, conf, log, _ = setup()
    result = runtime.add(conf, "c1", "ns")
    assert log == [("ADD", "a", None), ("ADD", "b", "10.0.0.1/24"), ("ADD", "c", "10.0.0.2/24")]
    assert [c.address for c in result.ips] == ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"]


def test_del_goes_backward_with_the_final_result_and_may_be_repeated() -> None:
    runtime, conf, log, _ = setup()
    runtime.add(conf, "c1", "ns")
    log.clear()
    runtime.delete(conf, "c1", "ns")
    assert log == [("DEL", t, "10.0.0.3/24") for t in "cba"]
    assert runtime.attachment("net", "c1") is None
    log.clear()
    runtime.delete(conf, "c1")
    assert log == [("DEL", t, None) for t in "cba"]


def test_before_0_4_0_del_gets_no_result() -> None:
    runtime, conf, log, _ = setup("0.3.1")
    runtime.add(conf, "c1", "ns")
    log.clear()
    runtime.delete(conf, "c1", "ns")
    assert {prev for _, _, prev in log} == {None}


def test_the_first_error_ends_add_and_nothing_is_remembered() -> None:
    runtime, conf, log, _ = setup(fail={"b": {"ADD": CniError(11, "later")}})
    with pytest.raises(CniError, match="later"):
        runtime.add(conf, "c1", "ns")
    assert [t for _, t, _ in log] == ["a", "b"] and runtime.attachments() == ()


def test_check_goes_forward_with_the_final_result() -> None:
    runtime, conf, log, _ = setup()
    runtime.add(conf, "c1", "ns")
    log.clear()
    runtime.check(conf, "c1", "ns")
    assert log == [("CHECK", t, "10.0.0.3/24") for t in "abc"]
    log.clear()
    runtime.check(conf, "c2", "ns")  # never added: the plugins are asked all the same, and find no result
    assert log == [("CHECK", t, None) for t in "abc"]


def test_disable_check_and_old_versions() -> None:
    runtime, conf, log, _ = setup(disableCheck=True, fail={"a": {"CHECK": CniError(999, "bad")}})
    runtime.add(conf, "c1", "ns")
    log.clear()
    runtime.check(conf, "c1", "ns")
    assert log == []
    runtime, conf, _, _ = setup("0.3.1")
    with pytest.raises(CniError, match='configuration version "0.3.1" does not support the CHECK command'):
        runtime.check(conf, "c1", "ns")


def test_gc_deletes_what_is_not_valid_and_collects_errors() -> None:
    runtime, conf, log, spies = setup(fail={"a": {"GC": CniError(999, "one")}, "c": {"GC": CniError(999, "two")}})
    runtime.add(conf, "c1", "ns")
    runtime.add(conf, "c2", "ns")
    log.clear()
    with pytest.raises(CniError, match="^failed to GC plugin a: one\nfailed to GC plugin c: two$"):
        runtime.gc(conf, [("c2", "eth0")])
    assert [(c, t) for c, t, _ in log] == [("DEL", "c"), ("DEL", "b"), ("DEL", "a"), ("GC", "a"), ("GC", "b"), ("GC", "c")]
    assert spies["b"].config["cni.dev/valid-attachments"] == [{"containerID": "c2", "ifname": "eth0"}]
    assert [a.container_id for a in runtime.attachments()] == ["c2"]


def test_status_and_gc_are_1_1_0() -> None:
    runtime, conf, log, _ = setup("1.0.0", fail={"a": {"STATUS": CniError(50, "no")}})
    runtime.status(conf)
    runtime.gc(conf, [])
    assert log == []
    runtime, conf, _, _ = setup("1.1.0", fail={"a": {"STATUS": CniError(50, "no")}})
    with pytest.raises(CniError) as e:
        runtime.status(conf)
    assert e.value.code == 50 and "not available" in e.value.meaning


def test_capabilities_reach_only_those_who_declare_them() -> None:
    runtime, _, _, spies = setup()
    plugins = [{"type": "a"}, {"type": "b", "capabilities": {"portMappings": True, "ips": False}}]
    conf = NetworkList.parse({"name": "net", "cniVersion": "1.0.0", "plugins": plugins})
    runtime.add(conf, "c1", "ns", capabilities={"portMappings": [{"hostPort": 1}], "ips": ["10.0.0.9"]})
    assert "runtimeConfig" not in spies["a"].config
    assert spies["b"].config["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}
    assert "capabilities" not in spies["b"].config
    # they are remembered, so that DEL gets the same
    runtime.delete(conf, "c1")
    assert spies["b"].config["runtimeConfig"] == {"portMappings": [{"hostPort": 1}]}


@pytest.mark.parametrize(
    ("container", "netns", "ifname", "name", "code", "msg"),
    [
        ("", "ns", "eth0", "net", 4, "required env variables [CNI_CONTAINERID] missing"),
        ("c1", "", "", "net", 4, "required env variables [CNI_NETNS,CNI_IFNAME] missing"),
        ("-x", "ns", "eth0", "net", 4, "invalid characters in containerID"),
        ("c1", "ns", "abcdefghijklmnopq", "net", 4, "interface name is too long"),
        ("c1", "ns", "..", "net", 4, "interface name is . or .."),
        ("c1", "ns", "a/b", "net", 4, "interface name contains / or : or whitespace characters"),
        ("c1", "ns", "a b", "net", 4, "interface name contains / or : or whitespace characters"),
        ("c1", "ns", "eth0", "", 7, "missing network name"),
        ("c1", "ns", "eth0", "a b", 7, "invalid characters found in network name"),
    ],
)
def test_parameters_are_checked_as_the_plugins_do(container: str, netns: str, ifname: str, name: str, code: int, msg: str) -> None:
    # texts: the bridge program of release 1.1.1
    runtime, _, log, _ = setup()
    config = {"name": name, "cniVersion": "1.0.0", "type": "a"}
    with pytest.raises(CniError) as e:
        runtime.host.plugin("a").add(Call(container, netns, ifname, config, runtime.host))
    assert (e.value.code, e.value.msg) == (code, msg) and log == []


def test_unknown_plugin() -> None:
    runtime, _, _, _ = setup()
    with pytest.raises(CniError, match=r'failed to find plugin "nosuch" in path \[/opt/cni/bin\]'):
        runtime.add(NetworkList.parse({"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "nosuch"}]}), "c", "ns")


@pytest.mark.parametrize(
    ("conf", "code", "text"),
    [
        ("{", 6, "error parsing configuration list"),
        ("[]", 7, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({"plugins": [{"type": "a"}]}, 7, "no name"),
        ({"name": 3, "plugins": [{"type": "a"}]}, 7, "invalid name type float64"),
        ({"name": "n"}, 7, "no 'plugins' key"),
        ({"name": "n", "plugins": {}}, 7, "invalid 'plugins' type map[string]interface {}"),
        ({"name": "n", "plugins": []}, 7, "no plugins in list"),
        ({"name": "n", "plugins": [{}]}, 7, "failed to parse plugin config 0: error parsing configuration: missing 'type'"),
        ({"name": "n", "plugins": [{"type": "a"}, 3]}, 7, "failed to parse plugin config 1"),
        ({"name": "n", "cniVersion": 1, "plugins": [{"type": "a"}]}, 7, "invalid cniVersion type float64"),
        (
            {"name": "n", "cniVersions": ["abc"], "plugins": [{"type": "a"}]},
            7,
            "invalid cniVersions entry abc at index 0",
        ),
        ({"name": "n", "cniVersions": "1.0.0", "plugins": [{"type": "a"}]}, 7, "invalid type for cniVersions"),
        ({"name": "n", "disableCheck": "maybe", "plugins": [{"type": "a"}]}, 7, 'invalid value "maybe" for disableCheck'),
    ],
)
def test_bad_lists_say_what_is_wrong(conf: Any, code: int, text: str) -> None:
    with pytest.raises(CniError) as e:
        NetworkList.parse(conf)
    assert e.value.code == code and text in str(e.value)


@pytest.mark.parametrize(
    ("raw", "want"),
    [
        ({"cniVersion": "0.4.0"}, "0.4.0"),
        ({}, "0.1.0"),
        ({"cniVersions": ["0.3.1", "1.0.0"]}, "1.0.0"),
        ({"cniVersion": "0.4.0", "cniVersions": ["0.3.1", "1.1.0", "2.0.0"]}, "1.1.0"),
        ({"cniVersion": "1.0.0", "cniVersions": ["0.3.1"]}, "1.0.0"),
    ],
)
def test_the_highest_common_version_counts(raw: dict[str, Any], want: str) -> None:
    conf = NetworkList.parse({"name": "n", "plugins": [{"type": "a"}], **raw})
    assert conf.cni_version == want
    assert NetworkList.parse(str(conf)) == conf


RESULT = Result(
    (Interface("cni0", "02:00:00:00:00:01"), Interface("eth0", "02:00:00:00:00:02", 1450, "/var/run/netns/x")),
    (IpConfig("10.1.0.5/24", "10.1.0.1", 1), IpConfig("fd00::5/64", "fd00::1", 1)),
    (RouteConfig("0.0.0.0/0", "10.1.0.1"), RouteConfig("::/0", priority=5)),
    Dns(("10.96.0.10",), "", ("svc",), ()),
    "1.1.0",
)


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_results_survive_their_json(version: str) -> None:
    d = json.loads(json.dumps(RESULT.to_dict(version)))
    back = Result.from_dict(d)
    assert back.to_dict() == d
    assert ("version" in d["ips"][0]) == (version < "1.0.0")
    assert ("mtu" in d["interfaces"][1]) == ("priority" in d["routes"][1]) == (version == "1.1.0")


def test_the_oldest_results_have_one_address_per_family() -> None:
    d = RESULT.to_dict("0.2.0")
    assert d == {
        "cniVersion": "0.2.0",
        "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
        "ip6": {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "::/0"}]},
        "dns": {"nameservers": ["10.96.0.10"], "search": ["svc"]},
    }
    assert [c.address for c in Result.from_dict(d).ips] == ["10.1.0.5/24", "fd00::5/64"]


def test_errors_as_json() -> None:
    assert CniError(7, "bad", "why").to_dict() == {"code": 7, "msg": "bad", "details": "why"}
    assert CniError(7, "bad").to_dict() == {"code": 7, "msg": "bad"}
    # SPEC.md 1.1.0: the well-known codes
    assert set(range(1, 8)) | {11, 50, 51} <= set(CODES)
    assert CniError(120, "own").meaning == ""
    with pytest.raises(CniError) as e:
        Result.from_dict({"cniVersion": "1.0.0", "ips": [{}]})
    assert e.value.code == 6
