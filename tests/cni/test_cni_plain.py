"""A conflist that lies on every node: its fields, what a family's absence leaves out, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubenet_lab.cni import Conflist
from kubenet_lab.cni.plain import NAMED, fill
from kubenet_lab.errors import KubenetError

BOTH = {"PodCIDR": "10.244.1.0/24", "PodCIDR6": "fd00:10:244:1::/64"}


def conflist(ipam: Any, **main: Any) -> dict[str, Any]:
    return {"name": "n", "cniVersion": "1.0.0", "plugins": [{"type": "bridge", "ipam": ipam, **main}]}


def ipam_on(ipam: dict[str, Any], values: dict[str, str]) -> Any:
    return Conflist(conflist(ipam)).on(values).plugins[0]["ipam"]


def test_fields_are_filled_in_on_each_node() -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "{{.PodCIDR}}"}], [{"subnet": "{{ .PodCIDR6 }}"}]]}
    assert ipam_on(ipam, BOTH)["ranges"] == [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]]
    assert ipam_on(ipam, {"PodCIDR": "10.244.2.0/24"})["ranges"] == [[{"subnet": "10.244.2.0/24"}]]
    assert ipam_on(ipam, {"PodCIDR6": "fd00::/64"})["ranges"] == [[{"subnet": "fd00::/64"}]]
    # Calico's words, and a single range
    assert ipam_on({"type": "host-local", "subnet": "usePodCidr"}, BOTH)["subnet"] == "10.244.1.0/24"
    assert ipam_on({"type": "host-local", "ranges": [[{"subnet": "usePodCidrIPv6"}]]}, BOTH)["ranges"] == [[{"subnet": BOTH["PodCIDR6"]}]]


def test_routes_of_a_family_without_a_range_are_left_out() -> None:
    ranges = [[{"subnet": "{{.PodCIDR}}"}], [{"subnet": "{{.PodCIDR6}}"}]]
    routes = [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "fd99::/64", "gw": "fe80::1"}]
    assert ipam_on({"type": "host-local", "ranges": ranges, "routes": routes}, BOTH)["routes"] == routes
    only = ipam_on({"type": "host-local", "ranges": ranges, "routes": routes}, {"PodCIDR": "10.244.1.0/24"})
    assert only["routes"] == [routes[0], routes[2]], "one with a gateway of its own stays"
    fixed = ipam_on({"type": "host-local", "subnet": "fd00::/64", "routes": routes}, {})
    assert fixed["routes"] == routes, "what has no field is nobody's business"


def test_what_has_no_field_stays_as_it_is() -> None:
    text = json.dumps(conflist({"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}, mtu=1400, isGateway=True))
    assert json.loads(json.dumps(Conflist(text).on({}).to_dict())) == json.loads(text)
    assert Conflist(text) == Conflist(json.loads(text)) and Conflist(text).type == "bridge"
    assert fill({"a": [1, None, {"b": True}]}, {}) == {"a": [1, None, {"b": True}]}


@pytest.mark.parametrize("name", NAMED)
def test_a_plugins_name_alone_is_a_conflist(name: str) -> None:
    named = Conflist.named(name)
    assert named.type == name and named.uses_node_network == (name == "macvlan")
    assert named.routes == ("none" if name == "macvlan" else "static")
    assert "{{" not in str(named.on({}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "error parsing configuration list"),
        ({"name": "n"}, "no 'plugins' key"),
        ({"name": "n", "plugins": []}, "no plugins in list"),
        ({"name": "n", "plugins": [{"bridge": "x"}]}, "missing 'type'"),
        (7, "cannot unmarshal number into Go value"),
        ({"name": "n", "plugins": [{"type": "bridge", "x": {1, 2}}]}, "not JSON serializable"),
        (conflist({"type": "host-local", "subnet": "{{.PodCidr}}"}), r"found \{\{.PodCidr\}\}, expected \{\{.PodCIDR\}\}, "),
        (conflist({"type": "host-local", "subnet": "{{range .PodCIDRRanges}}"}), "a template that is more than a field"),
    ],
)
def test_what_is_no_conflist(given: Any, message: str) -> None:
    with pytest.raises(KubenetError, match=message):
        Conflist(given)


def test_routes_are_static_or_none() -> None:
    with pytest.raises(KubenetError, match="routes: found 'bgp', expected 'static' or 'none'"):
        Conflist(conflist({}), routes="bgp")  # type: ignore[arg-type]
