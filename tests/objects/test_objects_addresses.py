"""Addresses in the API's older fields: what the object says is kept, what programs read is one form of it."""

from __future__ import annotations

import pytest

import kubenet_lab as kn
from kubenet_lab.objects.addresses import plain
from tests.cluster.cluster_fixtures import SMALL


# k8s.io/utils/net, ParseIPSloppy and ParseCIDRSloppy; apimachinery pkg/util/validation/ip_test.go (legacy values)
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("10.96.0.10", "10.96.0.10"),
        ("010.096.000.010", "10.96.0.10"),  # decimal, not octal
        ("0.0.0.0", "0.0.0.0"),
        ("::ffff:10.96.0.10", "10.96.0.10"),
        ("fd00::10", "fd00::10"),
        ("203.0.113.000/025", "203.0.113.0/25"),
        (" 203.0.113.07/32", "203.0.113.7/32"),
        ("203.0.113.9/25", "203.0.113.9/25"),  # host bits are the reader's business
        ("10.96.0.0300", "10.96.0.0300"),  # no address in any reading
        ("None", "None"),
        ("", ""),
    ],
)
def test_plain(given: str, read: str) -> None:
    assert plain(given) == read


def test_a_service_with_leading_zeros_works_and_keeps_its_text() -> None:
    old = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "old", "namespace": "default"},
        "spec": {
            "clusterIP": "010.096.000.077",
            "externalIPs": ["198.051.100.009"],
            "selector": {"app": "server"},
            "ports": [{"port": 80, "targetPort": 8080}],
        },
    }
    cluster = kn.load([*SMALL, old])
    assert {o.answered_by for o in cluster.outcomes("default/client", "svc:default/old")} == {"default/near", "default/far"}
    assert cluster.connect("default/client", "10.96.0.77") and cluster.connect("default/client", "198.51.100.9")
    assert "clusterIP: 010.096.000.077" in cluster.to_yaml().replace("'", "")
    taken = {**old, "metadata": {"name": "new", "namespace": "default"}, "spec": {**old["spec"], "clusterIP": "10.96.0.77"}}
    with pytest.raises(kn.KubenetError, match="provided IP is already allocated"):
        cluster.apply(taken)
