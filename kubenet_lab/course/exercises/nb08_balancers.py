"""More exercises of notebook 08: what a balancer asks the nodes, and which of a Service's addresses let whom in."""

from __future__ import annotations

from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, pick
from .clusters import VERDICTS, address_of_node, bookshop, web_pods

__all__ = ["DOOR", "HEALTH", "STATUS"]

OUTSIDE, STRANGER = "external:203.0.113.7", "external:198.51.100.5"
NODES = ("worker-1", "worker-2", "worker-3")

# 08.5

DOORS = ("node port", "closed", "pod", "external ip", "open")
DOOR_WORDS = {
    "closed": "The stranger 198.51.100.5 asks the balancer's address", "node port": "The stranger 198.51.100.5 asks port 30080 of worker-1",
    "pod": "The pod jobs asks the balancer's address", "open": "The customer 203.0.113.7 asks the balancer's address",
    "external ip": "The customer 203.0.113.7 asks 198.51.100.77 from the internet, where nobody was told of it",
}  # fmt: skip


def _door_case(seed: int) -> Case:
    door = pick(seed, "doors", DOORS)
    cluster = bookshop(load_balancer="metallb")
    document = cluster.store.document("Service", "shop/web-public")
    document["spec"] |= {"type": "LoadBalancer", "loadBalancerSourceRanges": ["203.0.113.0/24"], "externalIPs": ["198.51.100.77"]}
    cluster.apply(document)
    service = next(s for s in cluster.objects("Service") if s.key == "shop/web-public")
    address = (service.status.load_balancer.ingress[0].ip, 80)
    src = {"closed": STRANGER, "node port": STRANGER, "pod": "ops/jobs"}.get(door, OUTSIDE)
    dst, port = {"node port": ("node:worker-1", 30080), "external ip": ("198.51.100.77", 80)}.get(door, address)
    return Case(cluster, {"door": door, "words": DOOR_WORDS[door], "verdict": cluster.connect(src, dst, port=port).verdict})


def _why_door(case: Case) -> str:
    return {
        "closed": "The source is in no range, and a rule drops the packet without a word.",
        "node port": "Source ranges are about the balancer's address. The node port stays open to everybody.",
        "pod": "The pod's own node knows the balancer's address and its ranges, and no pod's address is in one.",
        "open": "The source is in the range.",
        "external ip": "The nodes know the address, but no router brings a packet for it to a node.",
    }[case["door"]]


DOOR = Exercise(
    id="08.5",
    title="Which door lets whom in",
    prompt=(
        "web-public becomes a LoadBalancer under MetalLB, with loadBalancerSourceRanges 203.0.113.0/24, externalIPs 198.51.100.77 and node "
        "port 30080. {words}. Which verdict does it get?"
    ),
    form=Form("word", choices=VERDICTS, synonyms={"works": "delivered", "ok": "delivered", "hangs": "timeout", "dropped": "timeout"}),
    setup=_door_case,
    truth=lambda case: case["verdict"],
    because=_why_door,
    hints=(
        "Does the packet reach a node at all? If so, which rules speak of the address that it was sent to?",
        "For which of the Service's addresses do the ranges stand, and what do they do with a source outside?",
        'Build it in a copy with `load_balancer="metallb"`, and connect.',
    ),
    distractors=(
        Distractor(
            "source-ranges-close-node-ports",
            lambda case: "timeout" if case["door"] == "node port" else None,
            "Which of the Service's addresses do the ranges belong to? Read the name of the field.",
        ),
        Distractor(
            "source-ranges-refuse",
            lambda case: "refused" if case["door"] in ("closed", "pod") else None,
            "Look at the rule's target in KUBE-PROXY-FIREWALL: does it answer?",
        ),
        Distractor(
            "external-ip-is-announced",
            lambda case: "delivered" if case["door"] == "external ip" else None,
            "Who would have told the routers? Follow the packet from outside.",
        ),
    ),
)

# 08.6


def _health_case(seed: int) -> Case:
    replicas, lost, node = pick(
        seed, "health", ((2, "leaves", "worker-3"), (2, "unready", "worker-1"), (3, "leaves", "worker-2"), (3, "unready", "worker-2"))
    )
    cluster = bookshop(nodes=3, load_balancer="cloud")
    cluster.scale("shop/web", replicas)
    document = cluster.store.document("Service", "shop/web-public")
    document["spec"] |= {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    cluster.apply(document)
    pods = {p.key: p.spec.node_name for p in web_pods(cluster)}
    places = sorted(set(pods.values()))
    gone = next(key for key, place in pods.items() if place == node)
    if lost == "leaves":
        cluster.set_pod(gone, terminating=True)
        cluster.set_pod(next(p.key for p in web_pods(cluster) if p.key not in pods), ready=False)
        words = f"The one on {node} has been told to stop and still serves; the pod that follows it is not ready yet"
    else:
        cluster.set_pod(gone, ready=False)
        words = f"The one on {node} is not ready"
    port = next(s for s in cluster.objects("Service") if s.key == "shop/web-public").spec.health_check_node_port
    status = {n: cluster.request(OUTSIDE, f"http://{address_of_node(cluster, n)}:{port}/healthz").answer.status for n in NODES}
    where = " and ".join(f"one on {n}" for n in places) if len(places) < len(NODES) else "one on each"
    well = [n for n in NODES if status[n] == 200]
    return Case(cluster, {"where": where, "words": words, "well": well, "places": places, "lost": lost})


HEALTH = Exercise(
    id="08.6",
    title="Who answers 200",
    prompt=(
        "The bookshop runs on worker-1, worker-2 and worker-3. web-public is a LoadBalancer with externalTrafficPolicy Local. Its pods: "
        "{where}. {words}. Which nodes answer 200 at the health check node port?"
    ),
    form=Form("word", "set", choices=NODES),
    setup=_health_case,
    truth=lambda case: case["well"],
    because=lambda case: (
        "A node answers 200 while it has a ready endpoint of its own. "
        + (
            "One that leaves is not ready, though it serves: the balancer takes the node out while the pod ends what it has begun."
            if case["lost"] == "leaves"
            else "One that is not ready does not count."
        )
    ),
    hints=(
        "What does kube-proxy count for this answer, and on which node?",
        "Does a pod count that is not ready, or that leaves? Look at `ready` in the EndpointSlice, as in notebook 06.",
        'Build it with `kn.example("bookshop", nodes=3, load_balancer="cloud")` and `set_pod`, and ask each node for `/healthz`.',
    ),
    distractors=(
        Distractor(
            "health-check-is-of-the-service",
            lambda case: NODES if case["places"] != list(NODES) else None,
            "So a balancer would send customers to nodes that drop them. What is the question for?",
        ),
        Distractor(
            "unready-still-gets-traffic",
            lambda case: case["places"] if case["lost"] == "unready" else None,
            "Does an endpoint count that is not ready?",
        ),
    ),
)


def _checked(seed: int) -> Case:
    cluster = bookshop(load_balancer="cloud")
    cluster.scale("shop/web", 1)
    document = cluster.store.document("Service", "shop/web-public")
    document["spec"] |= {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
    return Case(cluster.apply(document))


def _status(case: Case) -> int:
    service = next(s for s in case.cluster.objects("Service") if s.key == "shop/web-public")
    url = f"http://{address_of_node(case.cluster, 'worker-1')}:{service.spec.health_check_node_port}/healthz"
    return int(case.cluster.copy().request(OUTSIDE, url).answer.status)


STATUS = Prediction(
    id="08.c",
    title="A node without a pod is asked how it is",
    prompt="With Local, and the only pod on worker-2, which HTTP status does worker-1 answer with at the health check node port?",
    form=Form("number"),
    setup=_checked,
    truth=_status,
)
