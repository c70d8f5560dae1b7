"""set_pod: ready, terminating, serving, as a kubelet and a deletion make them, and what Services make of it.

Source: Kubernetes 1.34, staging/src/k8s.io/endpointslice/utils.go (podToEndpoint); KEP-1672 (terminating endpoints).
"""

from __future__ import annotations

from typing import Any

import pytest

import kubenet_lab as kn
from tests.cluster.cluster_fixtures import SMALL, deployment, pod, service

PODS = ("default/near", "default/far")


def conditions(cluster: kn.Cluster, name: str) -> tuple[bool | None, bool | None, bool | None]:
    slices: Any = cluster.objects("endpointslice")
    found = next(e.conditions for s in slices for e in s.endpoints if e.target_ref is not None and e.target_ref.name == name)
    return found.ready, found.serving, found.terminating


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"ready": True}, (True, True, False)),
        ({"ready": False}, (False, False, False)),
        ({"serving": False}, (False, False, False)),
        ({"terminating": True}, (False, True, True)),
        ({"terminating": True, "serving": False}, (False, False, True)),
        ({"terminating": True, "ready": False}, (False, False, True)),
    ],
)
def test_what_the_slice_says(given: dict[str, bool], seen: tuple[bool, bool, bool]) -> None:
    cluster = kn.load(SMALL)
    cluster.set_pod("default/near", **given)  # type: ignore[arg-type]
    assert conditions(cluster, "near") == seen


def test_publish_not_ready_addresses_forces_ready() -> None:
    cluster = kn.load([*SMALL[:3], service("server", {"app": "server"}, publishNotReadyAddresses=True)])
    cluster.set_pod("default/near", terminating=True, serving=False)
    assert conditions(cluster, "near") == (True, False, True)


def test_terminating_pods_answer_only_where_no_other_is_ready() -> None:
    cluster = kn.load(SMALL).set_pod("default/near", terminating=True)
    assert {o.answered_by for o in cluster.outcomes("default/client", "svc:default/server")} == {"default/far"}
    cluster.set_pod("default/far", terminating=True, serving=False)
    assert {o.answered_by for o in cluster.outcomes("default/client", "svc:default/server")} == {"default/near"}
    cluster.set_pod("default/near", serving=False)
    assert [o.error for o in cluster.outcomes("default/client", "svc:default/server")] == ["ECONNREFUSED"]
    cluster.set_pod("default/near", serving=True)
    assert {o.answered_by for o in cluster.outcomes("default/client", "svc:default/server")} == {"default/near"}


def test_a_workload_replaces_what_terminates_and_what_was_asked_for_by_its_name_goes_one_by_one() -> None:
    cluster = kn.load([deployment("shop/api", 2), pod("shop/client")])
    before = {p.key for p in cluster.objects("pod") if p.labels.get("app") == "api"}  # type: ignore[attr-defined]
    cluster.set_pod("shop/api", terminating=True).set_pod("shop/api", terminating=True)
    pods: Any = [p for p in cluster.objects("pod") if p.labels.get("app") == "api"]  # type: ignore[attr-defined]
    assert {p.key for p in pods if p.metadata.deletion_timestamp} <= {p.key for p in pods}
    assert len([p for p in pods if p.metadata.deletion_timestamp is None]) == 2
    assert len(before & {p.key for p in pods if p.metadata.deletion_timestamp}) >= 1


def test_the_deletion_has_the_pods_own_grace_period() -> None:
    cluster = kn.load([pod("default/slow", terminationGracePeriodSeconds=300), pod("default/usual")])
    for name, seconds in (("slow", 300), ("usual", 30)):
        cluster.set_pod(f"default/{name}", terminating=True)
        assert cluster.store.document("Pod", f"default/{name}")["metadata"]["deletionGracePeriodSeconds"] == seconds


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing to set"),
        ({"ready": 1}, "ready: found 1, expected True or False"),
        ({"ready": True, "terminating": True}, "terminates"),
        ({"ready": True, "serving": False}, "the same condition"),
        ({"terminating": "yes"}, "terminating: found 'yes'"),
    ],
)
def test_what_cannot_be_changes_nothing(given: dict[str, Any], said: str) -> None:
    cluster = kn.load(SMALL)
    before = cluster.to_yaml()
    with pytest.raises(kn.KubenetError, match=said):
        cluster.set_pod("default/near", **given)
    assert cluster.to_yaml() == before


def test_a_deletion_is_not_taken_back() -> None:
    cluster = kn.load(SMALL).set_pod("default/near", terminating=True)
    with pytest.raises(kn.KubenetError, match="not taken back"):
        cluster.set_pod("default/near", terminating=False)
    cluster.set_pod("default/far", terminating=False)  # it does not terminate: nothing to do
    assert conditions(cluster, "far") == (True, True, False)


def test_an_address_of_a_service_is_no_machines() -> None:
    """An external or a balancer's address that nobody routes to a node and nobody has is silent; before, a machine was made up for it."""
    outer = service("outer", {"app": "server"}, type="LoadBalancer", externalIPs=["198.51.100.7"])
    outer["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.8", "ipMode": "Proxy"}]}}
    cluster = kn.load([*SMALL, outer])
    assert cluster.connect("default/client", "198.51.100.7").answered_by in PODS
    assert cluster.connect("default/client", "198.51.100.8").verdict == "timeout"  # ipMode Proxy: kube-proxy leaves it alone
    assert cluster.connect("external:203.0.113.7", "198.51.100.7", via="worker-1").answered_by in PODS
    assert cluster.connect("external:203.0.113.7", "198.51.100.7").verdict == "timeout"
    assert "external:198.51.100.8" not in cluster.network().namespaces
