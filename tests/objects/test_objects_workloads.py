"""Controllers: names, owners, and what a dump showed is used as it was."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from kubenet_lab.objects import Changes, Store, reconcile, running, scale, schedule, workload_statuses
from kubenet_lab.objects.stamps import SAFE_ALPHABET, safe_encode, suffix
from kubenet_lab.objects.views import Pod
from kubenet_lab.objects.workloads import CONTROLLERS, replica_sets, template_hash

SAFE = f"[{SAFE_ALPHABET}]"
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
NAMES = {"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}


def workload(kind: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"template": copy.deepcopy(TEMPLATE)}
    if kind == "Job":
        base["template"]["spec"]["restartPolicy"] = "Never"
    else:
        base["selector"] = {"matchLabels": {"app": "web"}}
    return {"apiVersion": NAMES[kind], "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": {**base, **spec}}


def node(name: str, **parts: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}, **parts}


def made(*sources: Any, nodes: int = 2) -> Store:
    store = Store()
    store.apply([node(f"worker-{i + 1}") for i in range(nodes)])
    for source in sources:
        store.apply(source)
    settle(store)
    return store


def settle(store: Store) -> None:
    while True:
        reconcile(store)
        if not store.commit(schedule(store.snapshot()), by="scheduler"):
            return


def pods(store: Store) -> list[str]:
    return [p.name for p in store.objects("Pod")]


def owner(document: dict[str, Any]) -> tuple[str, str, bool]:
    (reference,) = document["metadata"]["ownerReferences"]
    return reference["kind"], reference["name"], reference["controller"]


def test_deployment_makes_a_replica_set_and_pods() -> None:
    store = made(workload("Deployment", replicas=3))
    (replica_set,) = store.objects("ReplicaSet")
    digest = replica_set.labels["pod-template-hash"]
    assert replica_set.name == f"web-{digest}" and re.fullmatch(f"{SAFE}{{1,10}}", digest)
    document = store.document("rs", replica_set.key)
    assert document["spec"]["selector"] == {"matchLabels": {"app": "web", "pod-template-hash": digest}}
    assert document["spec"]["template"]["metadata"]["labels"] == {"app": "web", "pod-template-hash": digest}
    assert document["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert owner(document) == ("Deployment", "web", True)
    assert len(pods(store)) == 3
    for name in pods(store):
        assert re.fullmatch(f"web-{digest}-{SAFE}{{5}}", name)
        pod = store.document("pod", f"shop/{name}")
        assert owner(pod) == ("ReplicaSet", replica_set.name, True)
        assert pod["metadata"]["ownerReferences"][0]["uid"] == replica_set.metadata.uid
        assert pod["metadata"]["labels"] == {"app": "web", "pod-template-hash": digest}
        assert pod["metadata"]["generateName"] == f"web-{digest}-" and pod["status"]["phase"] == "Pending"
        assert pod["spec"]["serviceAccountName"] == "default"


def test_names_do_not_hang_on_the_order_of_applying() -> None:
    objects = [workload("Deployment", n, replicas=2) for n in ("a", "b", "c")]
    assert pods(made(*objects)) == pods(made(*reversed(objects)))


def test_safe_names() -> None:
    assert safe_encode("0123456789") == "456789bcdf", "the digits as rand.SafeEncodeString maps them"
    assert suffix("a", 1) == suffix("a", 1) != suffix("a", 2)
    assert template_hash(TEMPLATE) == template_hash(copy.deepcopy(TEMPLATE)) != template_hash({})


def test_long_names_are_cut_as_generate_name_cuts_them() -> None:
    name = "a" * 60
    store = made(workload("ReplicaSet", name, replicas=1))
    assert re.fullmatch(f"a{{58}}{SAFE}{{5}}", pods(store)[0]) and len(pods(store)[0]) == 63


def test_a_new_template_makes_a_new_replica_set_and_empties_the_old() -> None:
    store = made(workload("Deployment", replicas=2))
    old = store.objects("rs")[0].name
    other = workload("Deployment", replicas=2)
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    store.apply(other)
    settle(store)
    sizes = {r.name: r.spec.replicas for r in store.objects("rs")}  # type: ignore[attr-defined]
    assert sizes.pop(old) == 0 and list(sizes.values()) == [2]
    assert len(pods(store)) == 2 and not any(p.startswith(old) for p in pods(store))
    new = store.objects("rs")[0] if store.objects("rs")[0].name != old else store.objects("rs")[1]
    assert new.metadata.annotations["deployment.kubernetes.io/revision"] == "2"
    store.apply(workload("Deployment", replicas=2))
    settle(store)
    assert all(p.startswith(old) for p in pods(store)), "rolled back to the ReplicaSet that was there"


def test_a_paused_deployment_rolls_nothing_out() -> None:
    store = made(workload("Deployment", replicas=1))
    before = pods(store)
    other = workload("Deployment", replicas=1, paused=True)
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    store.apply(other)
    settle(store)
    assert pods(store) == before
    other["spec"]["paused"] = False
    store.apply(other)
    settle(store)
    assert len(pods(store)) == 1 and pods(store) != before


def test_a_deleted_pod_comes_back_under_another_name() -> None:
    store = made(workload("Deployment", replicas=2))
    first = pods(store)
    store.delete("pod", f"shop/{first[0]}")
    settle(store)
    assert len(pods(store)) == 2 and first[0] not in pods(store) and first[1] in pods(store)


def test_deleting_the_deployment_takes_everything_with_it() -> None:
    store = made(workload("Deployment", replicas=2))
    store.delete("deploy", "shop/web")
    settle(store)
    assert pods(store) == [] and store.objects("rs") == ()


def test_scaling_up_and_down() -> None:
    store = made(workload("Deployment", replicas=2))
    first = pods(store)
    store.commit(scale(store.snapshot(), "deploy", "shop/web", 5), by="test")
    settle(store)
    assert len(pods(store)) == 5 and set(first) <= set(pods(store))
    store.commit(scale(store.snapshot(), "deploy", "shop/web", 0), by="test")
    settle(store)
    assert pods(store) == []
    with pytest.raises(ValueError, match="cannot be scaled"):
        scale(store.snapshot(), "daemonset", "shop/web", 1)
    with pytest.raises(ValueError, match="no Deployment shop/x"):
        scale(store.snapshot(), "deploy", "shop/x", 1)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        scale(store.snapshot(), "deploy", "shop/web", -1)


def test_which_pods_go_first() -> None:
    """ActivePodsWithRanks: unscheduled, Pending, not ready, cheap, crowded, young, restarted."""
    store = made(workload("ReplicaSet", replicas=8), nodes=0)
    names = pods(store)
    ready = [{"type": "Ready", "status": "True"}]
    settings: list[tuple[str, dict[str, Any]]] = [
        ("n1", {"phase": "Running", "conditions": ready}),
        ("n1", {"phase": "Running", "conditions": ready}),
        ("n2", {"phase": "Running", "conditions": ready, "containerStatuses": [{"name": "c", "restartCount": 4}]}),
        ("n3", {"phase": "Running", "conditions": ready}),
        ("n4", {"phase": "Running", "conditions": ready}),
        ("n5", {"phase": "Running", "conditions": []}),
        ("n6", {"phase": "Pending"}),
        ("", {"phase": "Pending"}),
    ]
    for name, (place, status) in zip(names, settings, strict=True):
        document = store.document("pod", f"shop/{name}")
        document["spec"]["nodeName"], document["status"] = place, status
        if place == "n3":
            document["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
        store.write([document], by="test")
    order: list[str] = []
    for replicas in range(7, -1, -1):
        store.commit(scale(store.snapshot(), "rs", "shop/web", replicas), by="test")
        (gone,) = replica_sets(store.snapshot()).delete
        order.append(settings[names.index(gone[1].removeprefix("shop/"))][0])
        store.commit(Changes(delete=(gone,)), by="test")
    assert order == ["", "n6", "n5", "n3", "n1", "n2", "n1", "n4"]


def test_stateful_set() -> None:
    claims = [{"metadata": {"name": "books"}, "spec": {}}]
    store = made(workload("StatefulSet", "db", replicas=2, serviceName="db-all", volumeClaimTemplates=claims))
    assert pods(store) == ["db-0", "db-1"]
    document = store.document("pod", "shop/db-1")
    labels = document["metadata"]["labels"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-1" and labels["apps.kubernetes.io/pod-index"] == "1"
    assert re.fullmatch(f"db-{SAFE}+", labels["controller-revision-hash"])
    assert document["spec"]["hostname"] == "db-1" and document["spec"]["subdomain"] == "db-all"
    assert document["spec"]["volumes"] == [{"name": "books", "persistentVolumeClaim": {"claimName": "books-db-1"}}]
    assert owner(document) == ("StatefulSet", "db", True)
    store.delete("pod", "shop/db-0")
    settle(store)
    assert pods(store) == ["db-0", "db-1"], "a StatefulSet's pod comes back under its name"
    store.commit(scale(store.snapshot(), "sts", "shop/db", 1), by="test")
    settle(store)
    assert pods(store) == ["db-0"], "the highest ordinal goes first"


def test_stateful_set_ordinals_may_start_elsewhere() -> None:
    assert pods(made(workload("StatefulSet", "db", replicas=2, ordinals={"start": 5}))) == ["db-5", "db-6"]


def test_daemon_set_runs_on_every_node_that_takes_it() -> None:
    control = node("control", spec={"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]})
    cordoned = node("cordoned", spec={"unschedulable": True})
    store = made(control, cordoned, workload("DaemonSet"))
    assert sorted(p.spec.node_name for p in store.snapshot().list(Pod)) == ["cordoned", "worker-1", "worker-2"]
    document = store.document("pod", f"shop/{pods(store)[0]}")
    assert re.fullmatch(f"web-{SAFE}{{5}}", pods(store)[0]) and owner(document) == ("DaemonSet", "web", True)
    assert document["metadata"]["labels"]["pod-template-generation"] == "1"
    keys = {t["key"].rpartition("/")[2] for t in document["spec"]["tolerations"]}
    assert keys == {"not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"}
    store.apply(node("worker-3"))
    settle(store)
    assert len(pods(store)) == 4, "a new node gets its pod"
    tolerant = workload("DaemonSet")
    tolerant["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    tolerant["spec"]["template"]["spec"]["hostNetwork"] = True
    store.apply(tolerant)
    settle(store)
    assert "control" in {p.spec.node_name for p in store.snapshot().list(Pod)}


def test_daemon_set_follows_its_node_selector() -> None:
    picky = workload("DaemonSet")
    picky["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    store = made(picky)
    assert pods(store) == []
    labelled = node("worker-2")
    labelled["metadata"]["labels"]["disk"] = "ssd"
    store.apply(labelled)
    settle(store)
    assert [p.spec.node_name for p in store.snapshot().list(Pod)] == ["worker-2"]


def test_job() -> None:
    store = made(workload("Job", "count", parallelism=2, completions=3))
    assert all(re.fullmatch(f"count-{SAFE}{{5}}", p) for p in pods(store)) and len(pods(store)) == 2
    labels = store.document("pod", f"shop/{pods(store)[0]}")["metadata"]["labels"]
    uid = store.get("job", "shop/count").metadata.uid
    assert labels["batch.kubernetes.io/job-name"] == labels["job-name"] == "count"
    assert labels["batch.kubernetes.io/controller-uid"] == labels["controller-uid"] == uid
    for name in pods(store):
        document = store.document("pod", f"shop/{name}")
        document["status"]["phase"] = "Succeeded"
        store.write([document], by="kubelet")
    settle(store)
    assert len([p for p in store.snapshot().list(Pod) if not p.terminated]) == 1, "one of three is left to do"


def test_indexed_job() -> None:
    store = made(workload("Job", "count", parallelism=2, completions=2, completionMode="Indexed"))
    assert [re.sub(f"{SAFE}{{5}}$", "", p) for p in pods(store)] == ["count-0-", "count-1-"]
    document = store.document("pod", f"shop/{pods(store)[1]}")
    assert document["spec"]["hostname"] == "count-1"
    assert document["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1"


@pytest.mark.parametrize(
    "status", [{"conditions": [{"type": "Complete", "status": "True"}]}, {"completionTime": "2026-01-01T00:00:00Z"}, None]
)
def test_finished_and_suspended_jobs_make_nothing(status: Any) -> None:
    job = workload("Job", "count", suspend=status is None)
    if status:
        job["status"] = status
    assert pods(made(job)) == []


def test_cron_jobs_make_nothing_by_themselves() -> None:
    cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "shop"},
            "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": workload("Job")["spec"]}}}  # fmt: skip
    store = made(cron)
    assert pods(store) == [] and store.objects("job") == ()


# --- observed beats generated ------------------------------------------------------------------------------------
def dump_of(store: Store, *, without: tuple[str, ...] = (), drop: int = 0) -> list[dict[str, Any]]:
    out = []
    for kind in ("Namespace", "Node", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Pod"):
        if kind not in without:
            out += [store.document(kind, o.key) for o in store.objects(kind)][drop if kind == "Pod" else 0 :]
    for document in out:
        document["metadata"]["uid"] = "11111111-2222-4333-8444-" + document["metadata"]["uid"][-12:]
        for reference in document["metadata"].get("ownerReferences", []):
            reference["uid"] = "11111111-2222-4333-8444-" + reference["uid"][-12:]
    return copy.deepcopy(out)


KINDS = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"]


def sized(kind: str) -> dict[str, Any]:
    if kind == "Job":
        return workload(kind, parallelism=3, completions=3)
    return workload(kind, replicas=3) if kind != "DaemonSet" else workload(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drop", [0, 1])
def test_a_dump_is_used_as_it_is(kind: str, drop: int) -> None:
    first = made(sized(kind))
    again = Store()
    applied = again.apply(dump_of(first, drop=drop))
    assert applied.findings == ()
    before = again.to_yaml()
    settle(again)
    assert again.to_yaml() == before, "nothing was made for an owner that was seen with its pods"
    assert pods(again) == pods(first)[drop:]


@pytest.mark.parametrize("kind", KINDS)
def test_an_owner_without_children_gets_them(kind: str) -> None:
    again = Store()
    again.apply(dump_of(made(sized(kind)), without=("Pod", "ReplicaSet") if kind == "Deployment" else ("Pod",)))
    settle(again)
    assert len(pods(again)) == (2 if kind == "DaemonSet" else 3)


def test_a_settled_owner_acts_once_it_is_changed_or_loses_a_pod() -> None:
    again = Store()
    again.apply(dump_of(made(workload("Deployment", replicas=3)), drop=1))
    settle(again)
    assert len(pods(again)) == 2
    again.delete("pod", f"shop/{pods(again)[0]}")
    settle(again)
    assert len(pods(again)) == 2, "what was seen is kept up, the gap stays"
    again.commit(scale(again.snapshot(), "deploy", "shop/web", 4), by="test")
    settle(again)
    assert len(pods(again)) == 4 and len(again.objects("rs")) == 1


def test_pods_whose_replica_set_is_missing_are_not_doubled() -> None:
    first = made(workload("Deployment", replicas=2))
    again = Store()
    again.apply(dump_of(first, without=("ReplicaSet",)))
    report = reconcile(again, CONTROLLERS)
    settle(again)
    assert pods(again) == pods(first)
    assert [r.name for r in again.objects("rs")] == [r.name for r in first.objects("rs")]
    assert report.assumptions == () and again.objects("rs")[0].metadata.uid.startswith("11111111")


def test_orphans_are_adopted() -> None:
    first = made(workload("Deployment", replicas=2))
    bare = dump_of(first, without=("ReplicaSet",))
    for document in bare:
        document["metadata"].pop("ownerReferences", None)
    again = Store()
    again.apply(bare)
    settle(again)
    assert pods(again) == pods(first)
    assert {owner(again.document("pod", f"shop/{p}"))[:2] for p in pods(again)} == {("ReplicaSet", first.objects("rs")[0].name)}


def test_bare_pods_are_left_alone() -> None:
    store = made({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": TEMPLATE["spec"]})
    assert pods(store) == ["p"]


# --- statuses ----------------------------------------------------------------------------------------------------
def test_workloads_report_their_pods() -> None:
    store = made(workload("Deployment", replicas=2), workload("StatefulSet", "db"), workload("DaemonSet", "ds"))
    store.commit(workload_statuses(store.snapshot()), by="status")
    assert store.document("deploy", "shop/web")["status"] == {
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "unavailableReplicas": 2,
    }  # fmt: skip
    store.write([running(store.document("pod", p.key), "10.0.0.1", "10.0.0.2") for p in store.objects("pod")], by="kubelet")
    store.commit(workload_statuses(store.snapshot()), by="status")
    assert store.document("deploy", "shop/web")["status"] == {
        "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
    }  # fmt: skip
    assert store.document("ds", "shop/ds")["status"]["numberReady"] == 2
    assert store.document("sts", "shop/db")["status"]["readyReplicas"] == 1
    assert store.document("rs", store.objects("rs")[0].key)["status"]["fullyLabeledReplicas"] == 2
    assert not workload_statuses(store.snapshot())
