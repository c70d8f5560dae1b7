"""Options of the bridge plugin which the installed program does not know, or this kernel: from upstream's source and tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import kubenet_lab as kn
from kubenet_lab.cni import CniError
from kubenet_lab.cni.bridge import trunk_ids
from kubenet_lab.errors import NotModelled
from kubenet_lab.kernel.links import PortVlan

TABLE = yaml.safe_load((Path(__file__).parent / "bridge_options.yaml").read_text())


def conflist(options: dict[str, Any], name: str = "net") -> dict[str, Any]:
    return {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge", "bridge": "cni0", **options}]}


def shown(vlans: tuple[PortVlan, ...]) -> list[str]:
    return [f"{v.id}{' PVID' if v.pvid else ''}{' untagged' if v.untagged else ''}" for v in vlans]


@pytest.mark.parametrize("case", TABLE["trunk"], ids=lambda c: str(c["given"]))
def test_trunks(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(CniError) as e:
            trunk_ids(case["given"])
        assert e.value.msg == case["error"]
    else:
        assert list(trunk_ids(case["given"])) == case["want"]


@pytest.mark.parametrize("case", TABLE["refused"], ids=lambda c: str(c["options"]))
def test_refused(case: dict[str, Any]) -> None:
    cni = kn.CniRuntime()
    if "lab" in case:
        with pytest.raises(NotModelled, match=case["lab"]):
            cni.add("demo", conflist(case["options"]))
        return
    error = cni.add("demo", conflist(case["options"])).error
    assert error is not None and (error.code, error.msg) == (999, f'plugin type="bridge" failed (add): {case["error"]}')


@pytest.mark.parametrize("case", TABLE["add"], ids=lambda c: str(c["options"])[:80])
def test_add(case: dict[str, Any]) -> None:
    cni = kn.CniRuntime()
    result = cni.add("demo", conflist(case["options"])).result
    assert result is not None
    node = cni.host.node
    assert node.link("cni0").bridge.vlan_filtering == case["filtering"]
    port = node.link(result.interfaces[1].name)
    assert shown(port.port.vlans) == case["port"]
    assert port.port.isolated == case.get("isolated", False)
    assert [i.name if not i.name.startswith("veth") else "veth" for i in result.interfaces] == case["interfaces"]
    pod = cni.sandbox("demo").link("eth0")
    assert pod.up == case.get("up", True)
    if "gateway" in case:
        own = node.link("cni0.100")
        assert own.kind == "veth" and own.peer is not None
        end = node.link(own.peer[1])
        assert end.index == own.index - 1 and end.master == "cni0" and shown(end.port.vlans) == case["gateway"]
        assert [str(a) for a in own.addresses if a.scope == "global"] == case["addresses"]
        assert not [a for a in node.link("cni0").addresses if a.scope == "global"]
        assert len(node.links) == 6  # lo, eth0, the bridge, the pod's port and the gateway's pair
    # a second container shares the gateway, and DEL takes only the pair away
    cni.add("other", conflist(case["options"]))
    cni.delete("demo", conflist(case["options"]))
    assert "eth0" not in cni.sandbox("demo").links and port.name not in node.links
    assert ("cni0.100" in node.links) == ("gateway" in case)


def reaches(cni: kn.CniRuntime, pod: str, ip: str) -> bool:
    return ", 0% packet loss" in cni.run(pod, f"ping -c1 -W1 {ip}")


@pytest.mark.parametrize("case", TABLE["reach"], ids=lambda c: f"{c['first']}-{c['second']}")
def test_reach(case: dict[str, Any]) -> None:
    cni = kn.CniRuntime()
    ipam = {"type": "host-local", "subnet": "10.1.2.0/24"}
    ips = [
        cni.add(name, conflist({**case[name], "ipam": ipam})).result.ips[0].address.partition("/")[0]  # type: ignore[union-attr]
        for name in ("first", "second")
    ]
    assert reaches(cni, "first", ips[1]) == case["want"]


def test_a_pod_reaches_the_gateway_of_its_vlan_only() -> None:
    cni = kn.CniRuntime()
    for n, name in ((100, "a"), (200, "b")):
        options = {
            "vlan": n, "isDefaultGateway": True, "preserveDefaultVlan": False,
            "ipam": {"type": "host-local", "subnet": f"10.1.{n}.0/24"},
        }  # fmt: skip
        cni.add(name, conflist(options, f"net{n}"))
    assert reaches(cni, "a", "10.1.100.1")
    assert reaches(cni, "b", "10.1.200.1")
    # from one VLAN to the other the node routes
    assert reaches(cni, "a", "10.1.200.2")
    out = cni.run("", "bridge vlan show")
    assert "100 PVID Egress Untagged" in out and "200 PVID Egress Untagged" in out
    fdb = cni.run("", "bridge fdb show br cni0")
    assert cni.sandbox("a").link("eth0").mac + " dev " in fdb and " vlan 100 master cni0" in fdb


def test_sources() -> None:
    rows = [c for key, cases in TABLE.items() if key != "sources" for c in cases]
    assert len(rows) >= 45 and {c["source"] for c in rows} <= set(TABLE["sources"])
