"""Made-up dumps of large clusters, shaped as `kubectl get -o json` prints them: for tools/bench.py."""

from __future__ import annotations

from typing import Any

WHEN = "2026-01-01T00:00:00Z"


def dump(nodes: int, pods: int, services: int, apps: int = 0) -> dict[str, Any]:
    """A List of nodes, Services and running pods (about 1.3 kB each). Each of the `apps` (a multiple of 20; default: one a Service)
    has an even share of the pods, and several Services may stand before one app.
    """
    apps = apps or services
    items = [_node(n) for n in range(nodes)] + [_service(s, s % apps) for s in range(services)]
    items += [_pod(p, p % apps, p % nodes, p // nodes + 2) for p in range(pods)]
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}


def _meta(kind: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "uid": f"{kind}-{namespace}-{name}", "resourceVersion": "1", "creationTimestamp": WHEN, **more}


def _host(n: int) -> str:
    return f"192.168.{50 + n // 250}.{n % 250 + 2}"


def _labels(n: int) -> dict[str, str]:
    return {"kubernetes.io/hostname": f"node-{n:03d}", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}


def _node(n: int) -> dict[str, Any]:
    cidr = f"10.{16 + n // 256}.{n % 256}.0/24"
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": _meta("n", f"node-{n:03d}", labels=_labels(n)),
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}, "status": {"addresses": [{"type": "InternalIP", "address": _host(n)}]},
    }  # fmt: skip


def _service(s: int, app: int) -> dict[str, Any]:
    address = f"10.96.{s // 250 + 1}.{s % 250 + 2}"
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": _meta("s", f"svc-{s:03d}", f"ns-{s % 20}"),
        "spec": {
            "clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "selector": {"app": f"app-{app:03d}"},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None",
        },
    }  # fmt: skip


def _pod(p: int, s: int, n: int, host: int) -> dict[str, Any]:
    name = f"app-{s:03d}-6c9d8f7b5-{f'{p:05d}'.translate(str.maketrans('0123456789', 'bcdfghjklm'))}"
    address = f"10.{16 + n // 256}.{n % 256}.{host}"
    fields = {"f:status": {"f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:lastTransitionTime": {}, "f:status": {}}}, "f:podIP": {}}}
    managed = {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": WHEN}
    container = {
        "name": "app", "image": "example/app:1.0", "imagePullPolicy": "IfNotPresent", "resources": {"requests": {"cpu": "50m"}},
        "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}], "terminationMessagePath": "/dev/termination-log",
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": _meta(
            "p", name, f"ns-{s % 20}", labels={"app": f"app-{s:03d}", "pod-template-hash": "6c9d8f7b5"},
            annotations={"kubernetes.io/config.seen": WHEN, "kubernetes.io/config.source": "api"},
            managedFields=[{**managed, "fieldsType": "FieldsV1", "fieldsV1": fields}],
        ),
        "spec": {
            "nodeName": f"node-{n:03d}", "serviceAccountName": "default", "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30, "enableServiceLinks": True,
            "containers": [container],
        },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "hostIP": _host(n),
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": WHEN}],
        },
    }  # fmt: skip
