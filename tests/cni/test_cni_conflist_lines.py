"""What is wrong with a conflist, and in which line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenet_lab.cni import CniError, NetworkList, problems
from kubenet_lab.cni.json_lines import lines
from kubenet_lab.errors import Problem

GOOD = """{
  "cniVersion": "1.0.0",
  "name": "net",
  "plugins": [
    {
      "type": "bridge",
      "isGateway": true,
      "ipam": {
        "type": "host-local",
        "subnet": "10.1.0.0/24"
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}"""


def found(text: str) -> list[tuple[int | None, str, str]]:
    return [(p.line, p.path, p.message) for p in problems(text)]


def test_nothing_is_wrong() -> None:
    assert problems(GOOD) == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "message"),
    [
        ('"name": "net",', '"name": "net"', 4, "", "error parsing configuration list: Expecting ',' delimiter: line 4 column 3"),
        ('"name": "net"', '"name": 7', 3, "", "error parsing configuration list: invalid name type float64"),
        ('"1.0.0"', '"1.7.0"', 2, "cniVersion", 'no plugin supports version "1.7.0"'),
        ('"type": "portmap"', '"type": ""', 13, "", "failed to parse plugin config 1"),
        (
            '"type": "bridge"',
            '"type": "brigde"',
            6,
            "plugins[0].type",
            'failed to find plugin "brigde" in path; installed: ',
        ),
        ('"type": "host-local"', '"type": "host"', 9, "plugins[0].ipam.type", 'failed to find plugin "host"'),
        ("true,", '"yes",', 7, "plugins[0].isGateway", "cannot unmarshal string into Go struct field NetConf.isGateway of type bool"),
        ('"isGateway"', '"isGatewy"', 7, "plugins[0].isGatewy", "'isGatewy' is ignored: the plugin has no such option; nearest: isGateway"),
        ('"isGateway": true', '"vlan": 5000', 6, "plugins[0].type", "invalid VLAN ID 5000 (must be between 0 and 4094)"),
        ('"10.1.0.0/24"', '"10.1.0.7/24"', 9, "plugins[0].ipam.type", "Network has host bits set"),
        ('"10.1.0.0/24"', '"10.1.0.0"', 10, "plugins[0].ipam.subnet", "invalid CIDR address: 10.1.0.0"),
        ('"10.1.0.0/24"', "24", 10, "plugins[0].ipam.subnet", "cannot unmarshal number into Go struct field IPAMConfig.ipam.subnet"),
        ('"subnet"', '"subnets"', 10, "plugins[0].ipam.subnets", "'subnets' is ignored: the plugin has no such option; nearest: subnet"),
        ('"type": "portmap"', '"type": "bandwidth"', 13, "plugins[1].type", "not modelled: CNI plugin bandwidth"),
        ('"isGateway": true', '"hairpinMode": true, "promiscMode": true', 6, "plugins[0].type", "cannot set hairpin mode and promiscuous"),
    ],
)
def test_the_line_of_a_mistake(old: str, new: str, line: int, path: str, message: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    hits = [f for f in found(text) if message in f[2]]
    assert [(f[0], f[1]) for f in hits] == [(line, path)], found(text)


def test_several_at_once_in_the_order_of_lines() -> None:
    text = GOOD.replace("true,", '"yes",', 1).replace('"subnet"', '"subnets"').replace('"portmap"', '"portmpa"')
    assert [p.line for p in problems(text)] == [7, 9, 10, 13]  # and without a subnet host-local has no range
    assert all(isinstance(p, Problem) for p in problems(text))


def test_a_mapping_has_lines_of_its_usual_text() -> None:
    conf: dict[str, Any] = {"name": "n", "plugins": [{"type": "bridge", "mtu": "big"}]}
    (problem,) = problems(conf)
    assert json.dumps(conf, indent=2).splitlines()[(problem.line or 0) - 1].strip() == '"mtu": "big"'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
WORDS = ["bridge", "host-local", "static", "10.0.0.0/24", "10.0.0.9", 7, True, None, [], {}]
KEYS = ["type", "ipam", "subnet", "ranges", "mtu", "vlan", "dns", "capabilities", "routes", "addresses", "runtimeConfig", "args"]
OPTIONS = st.recursive(
    st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.sampled_from([None, 1, "\t"]))
def test_lines_know_every_value(document: Any, indent: Any) -> None:
    text = json.dumps(document, indent=indent)
    where = lines(text)

    def walk(value: Any, path: tuple[Any, ...] = ()) -> None:
        assert path in where
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
            walk(inner, (*path, key))
            assert 1 <= where[path] <= where[(*path, key)] <= text.count("\n") + 1

    walk(document)


@given(JSON)
def test_any_json_is_taken_or_refused_in_words(document: Any) -> None:
    text = json.dumps(document)
    try:
        NetworkList.parse(text)
    except CniError as e:
        assert e.line is not None
    assert all(p.line for p in problems(text))


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), OPTIONS, max_size=6), min_size=1, max_size=2))
def test_any_options_are_looked_through(plugins: list[dict[str, Any]]) -> None:
    text = json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": plugins}, indent=1)
    assert all(p.line and p.line <= text.count("\n") + 1 for p in problems(text))


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    try:
        NetworkList.parse(text)
    except CniError:
        assert problems(text)
