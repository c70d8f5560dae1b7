"""The store: apply, merge, stamps, strictness, atomicity, deleting, writing."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubenet_lab.errors import KubenetError, LoadError, NotFound
from kubenet_lab.objects import Changes, Store, kind_of, timestamp
from kubenet_lab.objects.views import ConfigMap, Namespace, Pod, Secret, Service

SERVICE: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
}  # fmt: skip
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"matchLabels": {"app": "web"}},
             "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}},
}  # fmt: skip
POD: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
    "spec": {"containers": [{"name": "c", "image": "nginx:1"}]},
}  # fmt: skip


def changed(base: dict[str, Any], **parts: Any) -> dict[str, Any]:
    out = copy.deepcopy(base)
    for part, value in parts.items():
        if isinstance(value, dict) and isinstance(out.get(part), dict):
            out[part] = {**out[part], **value}
        else:
            out[part] = value
    return out


def refused(store: Store, source: Any, **options: Any) -> list[str]:
    with pytest.raises(LoadError) as caught:
        store.apply(source, **options)
    return [f"{p.path}: {p.message}" for p in caught.value.problems]


def test_apply_creates_defaults_and_stamps() -> None:
    store = Store(clock=lambda: 90.5)
    applied = store.apply(SERVICE)
    assert applied.created == applied.changed == (("Service", "shop/web"), ("Namespace", "shop"))
    meta = store.document("svc", "shop/web")["metadata"]
    assert meta["creationTimestamp"] == "2026-01-01T00:01:30Z" == timestamp(90.5)
    assert len(meta["uid"]) == 36
    assert meta["resourceVersion"] == "1" and "generation" not in meta
    assert store.get("Service", "shop/web").metadata.uid == meta["uid"]
    assert "made it" in applied.assumptions[0] and 'namespace "shop"' in applied.assumptions[0]
    view = store.snapshot().get(Service, "web", "shop")
    assert view is not None and view.spec.ports[0].protocol == "TCP"


def test_the_same_operations_give_the_same_stamps() -> None:
    def run() -> str:
        store = Store()
        store.apply([SERVICE, DEPLOYMENT, POD])
        store.delete("pod", "shop/p")
        store.apply(POD)
        return store.to_yaml()

    assert run() == run()


def test_system_namespaces_are_no_assumption() -> None:
    store = Store()
    applied = store.apply([changed(POD, metadata={"namespace": n}) for n in ("default", "kube-system")])
    assert applied.assumptions == ()
    assert [n.name for n in store.objects("ns")] == ["default", "kube-system"]
    assert store.objects("ns")[0].labels == {"kubernetes.io/metadata.name": "default"}


def test_apply_again_changes_nothing() -> None:
    store = Store()
    store.apply([SERVICE, DEPLOYMENT, POD])
    before, snapshot = store.to_yaml(), store.snapshot()
    applied = store.apply([SERVICE, DEPLOYMENT, POD])
    assert applied.changed == () and store.to_yaml() == before and store.snapshot() is snapshot


def test_update_keeps_uid_and_bumps_version_and_generation() -> None:
    store = Store()
    store.apply(DEPLOYMENT)
    first = store.document("deploy", "shop/web")["metadata"]
    store.apply(changed(DEPLOYMENT, metadata={"labels": {"a": "b"}}))
    second = store.document("deploy", "shop/web")["metadata"]
    assert second["uid"] == first["uid"] and second["generation"] == 1
    assert int(second["resourceVersion"]) > int(first["resourceVersion"])
    store.apply(changed(DEPLOYMENT, spec={"replicas": 3}))
    third = store.document("deploy", "shop/web")["metadata"]
    assert third["generation"] == 2 and third["creationTimestamp"] == first["creationTimestamp"]
    assert "labels" not in third or third["labels"] == {}, "a label that the manifest no longer gives is removed"


def test_allocated_fields_stay() -> None:
    store = Store()
    node_port = changed(SERVICE, spec={"type": "NodePort"})
    store.apply(node_port)
    document = store.document("svc", "shop/web")
    document["spec"].update(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"])
    document["spec"]["ports"][0]["nodePort"] = 30080
    document["status"] = {"loadBalancer": {}}
    store.write([document], by="allocator")
    applied = store.apply(changed(node_port, metadata={"labels": {"x": "y"}}))
    assert applied.changed == (("Service", "shop/web"),)
    spec = store.document("svc", "shop/web")["spec"]
    assert spec["clusterIP"] == "10.96.0.7" and spec["ports"][0]["nodePort"] == 30080
    more = copy.deepcopy(node_port)
    more["spec"]["ports"].append({"name": "metrics", "port": 9090})
    store.apply(more)
    assert [p.get("nodePort") for p in store.document("svc", "shop/web")["spec"]["ports"]] == [30080, None]
    store.apply(SERVICE)  # type is no longer given: back to ClusterIP, its node port goes
    spec = store.document("svc", "shop/web")["spec"]
    assert spec["type"] == "ClusterIP" and spec["clusterIP"] == "10.96.0.7"
    assert "externalTrafficPolicy" not in spec and "nodePort" not in spec["ports"][0] and len(spec["ports"]) == 1


def test_an_external_name_gives_its_address_back() -> None:
    store = Store()
    store.apply(SERVICE)
    document = store.document("svc", "shop/web")
    document["spec"].update(clusterIP="10.96.0.7", clusterIPs=["10.96.0.7"])
    store.write([document], by="allocator")
    store.apply({**SERVICE, "spec": {"type": "ExternalName", "externalName": "books.example"}})
    spec = store.document("svc", "shop/web")["spec"]
    assert spec == {"type": "ExternalName", "externalName": "books.example", "sessionAffinity": "None"}


def test_scaled_by_others_stays_scaled_when_the_manifest_is_silent() -> None:
    store = Store()
    store.apply(DEPLOYMENT)
    document = store.document("deploy", "shop/web")
    document["spec"]["replicas"] = 5
    store.write([document], by="autoscaler")
    store.apply(changed(DEPLOYMENT, metadata={"labels": {"a": "b"}}))
    assert store.document("deploy", "shop/web")["spec"]["replicas"] == 5
    store.apply(changed(DEPLOYMENT, spec={"replicas": 2}))
    assert store.document("deploy", "shop/web")["spec"]["replicas"] == 2


def test_a_changed_strategy_clears_what_was_filled_in() -> None:
    store = Store()
    store.apply(changed(DEPLOYMENT, spec={"strategy": {"type": "RollingUpdate"}}))
    store.apply(changed(DEPLOYMENT, spec={"strategy": {"type": "Recreate"}}))
    assert store.document("deploy", "shop/web")["spec"]["strategy"] == {"type": "Recreate"}


IMMUTABLE = [
    ("Deployment", lambda d: d["spec"].update(selector={"matchLabels": {"app": "x"}}, template={
        "metadata": {"labels": {"app": "x"}}, "spec": DEPLOYMENT["spec"]["template"]["spec"]}),
     'spec.selector: Invalid value: {"matchLabels":{"app":"x"}}: field is immutable'),
    ("Service", lambda d: d["spec"].update(clusterIP="10.96.0.9"),
     'spec.clusterIPs[0]: Invalid value: ["10.96.0.9"]: may not change once set'),
    ("Pod", lambda d: d["spec"]["containers"][0].update(name="d"), "spec: Forbidden: pod updates may not change fields other than"),
    ("Pod", lambda d: d["spec"].update(nodeName="other"), "spec: Forbidden: pod updates may not change fields other than"),
    ("StatefulSet", lambda d: d["spec"].update(serviceName="x"), "spec: Forbidden: updates to statefulset spec for fields other than"),
    ("Job", lambda d: d["spec"].update(completions=4), "spec.completions: Invalid value: 4: field is immutable"),
    ("IngressClass", lambda d: d["spec"].update(controller="a.b/c"), 'spec.controller: Invalid value: "a.b/c": field is immutable'),
    ("EndpointSlice", lambda d: d.update(addressType="IPv6", endpoints=[]), 'addressType: Invalid value: "IPv6": field is immutable'),
    ("Secret", lambda d: d.update(type="other"), 'type: Invalid value: "other": field is immutable'),
    ("ConfigMap", lambda d: d["data"].update(a="b"), "data: Forbidden: field is immutable when `immutable` is set"),
    ("Node", lambda d: d["spec"].update(podCIDR="10.2.0.0/24", podCIDRs=["10.2.0.0/24"]),
     'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'),
]  # fmt: skip
STANDING: dict[str, dict[str, Any]] = {
    "Deployment": DEPLOYMENT, "Pod": changed(POD, spec={"nodeName": "n1"}), "Service": changed(SERVICE, spec={"clusterIP": "10.96.0.7"}),
    "StatefulSet": {**DEPLOYMENT, "kind": "StatefulSet", "spec": {**DEPLOYMENT["spec"], "serviceName": "web"}},
    "Job": {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "shop"},
            "spec": {"completions": 2, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}},
    "IngressClass": {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "i"},
                     "spec": {"controller": "x.y/z"}},
    "EndpointSlice": {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e", "namespace": "shop"},
                      "addressType": "IPv4", "endpoints": []},
    "Secret": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}, "type": "mine"},
    "ConfigMap": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}, "immutable": True,
                  "data": {"k": "v"}},
    "Node": {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"podCIDR": "10.1.0.0/24"}},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "said"), IMMUTABLE, ids=[f"{i}-{c[0]}" for i, c in enumerate(IMMUTABLE)])
def test_what_may_not_change(kind: str, change: Any, said: str) -> None:
    store = Store()
    store.apply(STANDING[kind])
    before = store.to_yaml()
    other = copy.deepcopy(STANDING[kind])
    change(other)
    assert any(said in message for message in refused(store, other)), refused(store, other)
    assert store.to_yaml() == before


def test_a_pod_may_change_its_image_and_gain_tolerations() -> None:
    store = Store()
    store.apply(POD)
    other = changed(POD, spec={"containers": [{"name": "c", "image": "nginx:2"}]})
    assert store.apply(other).changed == (("Pod", "shop/p"),)


def test_a_failed_apply_changes_nothing_and_tells_everything(tmp_path: Path) -> None:
    store = Store()
    store.apply(SERVICE)
    before, snapshot, version = store.to_yaml(), store.snapshot(), store.snapshot().version
    (tmp_path / "1.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: good}\n---\na: [\n")
    (tmp_path / "2.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: Bad\nspec: {}\n")
    with pytest.raises(LoadError) as caught:
        store.apply([tmp_path, changed(SERVICE, spec={"type": "Odd"}), "nowhere.yaml"])
    found = [(Path(p.file).name, p.document, p.line, p.object, p.path) for p in caught.value.problems]
    assert found == [
        ("1.yaml", 2, 6, "", ""),
        ("2.yaml", 1, 4, "Pod default/Bad", "metadata.name"),
        ("2.yaml", 1, 5, "Pod default/Bad", "spec.containers"),
        ("nowhere.yaml", None, None, "", ""),
        ("", None, None, "Service shop/web", "spec.type"),
    ]
    assert str(caught.value).startswith("5 problems, nothing was applied\n")
    assert store.to_yaml() == before and store.snapshot() is snapshot and store.snapshot().version == version


WRONG = changed(SERVICE, spec={"type": "Odd", "nonsense": 1})
SEEN = changed(WRONG, metadata={"uid": "0f8e0a3e-0000-4000-8000-000000000001", "resourceVersion": "77", "generation": 4})


def test_strictness() -> None:
    assert len(refused(Store(), WRONG)) == 2
    assert len(refused(Store(), SEEN, strict=True)) == 2
    assert len(refused(Store(), WRONG, strict=True)) == 2
    for source, strict in ((SEEN, None), (SEEN, False), (WRONG, False)):
        store = Store()
        applied = store.apply(source, strict=strict)
        assert [(p.path, p.object) for p in applied.findings] == [("spec.nonsense", "Service shop/web"), ("spec.type", "Service shop/web")]
        assert store.document("svc", "shop/web")["spec"]["nonsense"] == 1
    assert "json: cannot unmarshal" in refused(Store(), changed(SEEN, spec={"ports": "80"}))[0], "what does not decode is never taken"
    assert "metadata.name" in refused(Store(), changed(SERVICE, metadata={"name": ""}), strict=False)[0]
    assert "may not contain '/'" in refused(Store(), changed(SERVICE, metadata={"name": "a/b"}), strict=False)[0]


def test_observed_stamps_are_kept_and_invented_ones_are_not() -> None:
    store = Store()
    store.apply(changed(SERVICE, metadata={"uid": "abc", "resourceVersion": "4711", "creationTimestamp": "2024-02-03T04:05:06Z"}))
    meta = store.document("svc", "shop/web")["metadata"]
    assert (meta["uid"], meta["resourceVersion"], meta["creationTimestamp"]) == ("abc", "4711", "2024-02-03T04:05:06Z")
    store.apply(changed(POD, metadata={"resourceVersion": "1", "generation": 9, "creationTimestamp": None}))
    meta = store.document("pod", "shop/p")["metadata"]
    assert int(meta["resourceVersion"]) > 4711 and meta["generation"] == 1 and meta["creationTimestamp"] == "2026-01-01T00:00:00Z"


def test_a_dump_of_another_object_replaces_the_one_that_stands() -> None:
    store = Store()
    store.apply(changed(SERVICE, metadata={"uid": "a"}, spec={"clusterIP": "10.0.0.1"}))
    store.apply(changed(SERVICE, metadata={"uid": "b"}, spec={"clusterIP": "10.0.0.2"}))
    assert store.get("svc", "shop/web").metadata.uid == "b"


def test_what_is_not_modelled_is_kept_and_listed() -> None:
    store = Store()
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "tls", "namespace": "shop"},
        "spec": {"x": 1},
    }
    calico = {"apiVersion": "crd.projectcalico.org/v1", "kind": "NetworkPolicy", "metadata": {"name": "np", "namespace": "shop"}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "shop"}}
    applied = store.apply([certificate, calico, account])
    kept = (("Certificate.cert-manager.io", "shop/tls"), ("NetworkPolicy.crd.projectcalico.org", "shop/np"), ("ServiceAccount", "shop/sa"))
    assert set(applied.ignored) == set(kept) and store.ignored == kept
    assert store.document("Certificate.cert-manager.io", "shop/tls") == certificate
    assert "kind: Certificate" in store.to_yaml() and store.objects("netpol") == ()
    assert store.delete("ServiceAccount", "shop/sa") == (("ServiceAccount", "shop/sa"),)
    assert len(store.ignored) == 2


def test_versions_that_are_no_longer_served() -> None:
    old = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "i", "namespace": "shop"}}
    said = 'apiVersion: no matches for kind "Ingress" in version "extensions/v1beta1": this release serves it in networking.k8s.io/v1'
    assert refused(Store(), old) == [said]
    assert "batch/v1" in refused(Store(), {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "c"}})[0]
    store = Store()
    applied = store.apply(changed(old, metadata={"uid": "x"}))
    assert len(applied.findings) == 1 and store.ignored == (("Ingress.extensions", "shop/i"),)


def test_delete_cascades() -> None:
    store = Store()
    store.apply([DEPLOYMENT, SERVICE, POD])
    owner = store.get("deploy", "shop/web")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": owner.metadata.uid, "controller": True}
    store.write([changed(POD, metadata={"name": "child", "ownerReferences": [reference]})], by="test")
    with pytest.raises(NotFound) as caught:
        store.delete("deployments", "shop/wed")
    assert "shop/web" in str(caught.value)
    assert store.delete("deploy", "shop/web") == (("Deployment", "shop/web"), ("Pod", "shop/child"))
    assert [p.name for p in store.objects("pod")] == ["p"]
    assert len(store.delete("ns", "shop")) == 3
    assert store.snapshot().all() == ()


def test_delete_without_cascade_and_a_new_life() -> None:
    store = Store()
    store.apply(POD)
    first = store.get("pod", "shop/p").metadata.uid
    store.delete("po", "shop/p", cascade=False)
    store.apply(POD)
    assert store.get("pod", "shop/p").metadata.uid != first


def test_write_is_trusted_defaulted_and_atomic() -> None:
    store = Store()
    pod = changed(POD, metadata={"name": "NOT VALID"})
    assert store.write([pod], by="test") == (("Pod", "shop/NOT VALID"), ("Namespace", "shop"))
    assert store.get("pod", "shop/NOT VALID").metadata.generation == 1
    assert store.write([pod], by="test") == ()
    before = store.to_yaml()
    with pytest.raises(KubenetError, match="kubelet wrote a Pod that does not decode"):
        store.write([POD, changed(POD, spec={"hostNetwork": "yes"})], by="kubelet")
    with pytest.raises(KubenetError, match="not a modelled kind"):
        store.write([{"apiVersion": "x/v1", "kind": "Foo"}], by="kubelet")
    assert store.to_yaml() == before
    status = store.document("pod", "shop/NOT VALID")
    status["status"]["phase"] = "Running"
    store.commit(Changes(write=(status,), delete=(("Pod", "shop/gone"),)), by="kubelet")
    assert store.document("pod", "shop/NOT VALID")["metadata"]["generation"] == 1, "a status is no change of the spec"


def test_documents_are_copies_and_snapshots_stand_still() -> None:
    store = Store()
    store.apply(SERVICE)
    old = store.snapshot()
    store.document("svc", "shop/web")["spec"]["ports"].clear()
    assert len(store.document("svc", "shop/web")["spec"]["ports"]) == 1
    other = store.copy()
    store.apply(POD)
    assert old.get(Pod, "p", "shop") is None and store.snapshot().get(Pod, "p", "shop") is not None
    assert other.find("pod", "shop/p") is None
    other.apply(changed(SERVICE, metadata={"labels": {"a": "b"}}))
    assert store.get("svc", "shop/web").labels == {}
    assert old.document("Service", "web", "shop") is not None and old.document("Service", "x") is None


def test_secrets_keep_their_keys() -> None:
    store = Store()
    store.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"b": "hush", "a": "hush"}})
    secret = store.get("secret", "default/s")
    assert isinstance(secret, Secret) and secret.keys == ["a", "b"] and "hush" not in store.to_yaml()
    store.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"Corefile": ".:53 {\n}\n"}})
    config = store.get("cm", "default/c")
    assert isinstance(config, ConfigMap) and config.data["Corefile"] == ".:53 {\n}\n"


def test_to_yaml_gives_the_same_store() -> None:
    store = Store()
    store.apply(
        [SERVICE, DEPLOYMENT, POD, {"apiVersion": "x.y/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": {"a": "yes", "b": "1e3"}}]
    )
    again = Store()
    applied = again.apply(store.to_yaml())
    assert applied.findings == () and again.to_yaml() == store.to_yaml()
    assert again.snapshot().all() == store.snapshot().all()


def test_generated_names() -> None:
    store = Store()
    pod = changed(POD, metadata={"generateName": "worker-"})
    del pod["metadata"]["name"]
    store.apply(pod)
    store.apply(pod)
    names = [p.name for p in store.objects("pod")]
    assert len(set(names)) == 2 and all(n.startswith("worker-") and len(n) == 12 for n in names)


def test_get_says_what_is_near() -> None:
    store = Store()
    store.apply(SERVICE)
    with pytest.raises(NotFound, match="no Service 'shop/wbe'; nearest: shop/web"):
        store.get("svc", "shop/wbe")
    with pytest.raises(NotFound, match="no kind 'servce'; nearest: Service"):
        store.get("servce", "shop/web")
    assert store.find("svc", "shop/x") is None
    with pytest.raises(NotFound):
        store.document("svc", "shop/x")


@pytest.mark.parametrize(
    ("text", "kind"),
    [("deploy", "Deployment"), ("svc", "Service"), ("networkpolicy", "NetworkPolicy"), ("netpol", "NetworkPolicy"), ("Pods", "Pod"),
     ("PO", "Pod"), ("ingresses", "Ingress"), ("ing", "Ingress"), ("sts", "StatefulSet"), ("ds", "DaemonSet"), ("rs", "ReplicaSet"),
     ("cj", "CronJob"), ("ep", "Endpoints"), ("endpointslices", "EndpointSlice"), ("cm", "ConfigMap"), ("ns", "Namespace"), ("no", "Node"),
     ("deployments.apps", "Deployment"), ("deployment.v1.apps", "Deployment"), (" ingressclass ", "IngressClass"), ("jobs", "Job"),
     ("secret", "Secret")],
)  # fmt: skip
def test_kinds_in_kubectl_spellings(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_a_stateful_set_whose_pods_cannot_be_is_a_finding() -> None:
    bad = copy.deepcopy(STANDING["StatefulSet"])
    bad["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    applied = Store().apply(bad)
    assert [(p.path, p.message) for p in applied.findings] == [
        ("spec.template.spec.containers[0].image", "accepted, but its pods will be refused: Required value")
    ]


def test_namespaces_are_shown_by_label() -> None:
    store = Store()
    store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}})
    assert store.snapshot().namespace_labels("shop") == {"team": "a", "kubernetes.io/metadata.name": "shop"}
    assert isinstance(store.get("ns", "shop"), Namespace)


def test_html_in_names_is_refused_or_inert() -> None:
    evil = changed(SERVICE, metadata={"name": "<script>alert(1)</script>"})
    assert any("DNS-1035" in m for m in refused(Store(), evil))
    assert "<script>" not in repr(Store())


def test_several_threads_load_from_the_start() -> None:
    """In an interpreter that has converted nothing before: it crashed where threads took turns often."""
    text = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from kubenet_lab.objects import Store
from kubenet_lab.objects.views import Pod

def one(_):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    store = Store()
    together.wait()
    store.apply(pod)
    return store.snapshot().list(Pod)[0].name

together = Barrier(8)
sys.setswitchinterval(1e-6)
with ThreadPoolExecutor(8) as pool:
    assert list(pool.map(one, range(8))) == ["a"] * 8
"""
    for _ in range(8):
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
