"""Exercises of notebook 09: what the names of headless and ExternalName Services stand for."""

from __future__ import annotations

from typing import Any

from ..compare import Form
from ..exercise import Case, Distractor, Exercise, Prediction, Question, pick
from .clusters import VERDICTS, bookshop

__all__ = ["QUESTIONS"]

NAME = "app.kubernetes.io/name"


def _service(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


# 09.1


def _count_case(seed: int) -> Case:
    kind, pods, unready = pick(seed, "kind", (("headless", 4, 1), ("ClusterIP", 4, 1), ("headless", 3, 0), ("headless", 5, 2)))
    cluster = bookshop()
    cluster.scale("shop/api", pods)
    headless = {"clusterIP": "None"} if kind == "headless" else {}
    cluster.apply(_service("mine", selector={NAME: "api"}, ports=[{"name": "http", "port": 8080}], **headless))
    for _ in range(unready):
        cluster.set_pod("shop/api", ready=False)
    found = len(cluster.resolve("shop/web", "mine").addresses)
    words = {0: "All are ready", 1: "One is not ready", 2: "Two are not ready"}
    label = "headless" if kind == "headless" else "of type ClusterIP"
    return Case(cluster, {"kind": kind, "label": label, "n": pods, "ready": words[unready], "found": found, "free": pods - unready})


ADDRESSES = Exercise(
    id="09.1",
    title="How many addresses",
    prompt="The new Service mine is {label} and selects the {n} pods of api. {ready}. How many A records does its name have?",
    form=Form("number"),
    setup=_count_case,
    truth=lambda case: case["found"],
    because=lambda case: (
        "A headless name stands for the ready endpoints, one record each."
        if case["kind"] == "headless"
        else "The name stands for the ClusterIP, whatever is behind it."
    ),
    hints=(
        "What does the name of such a Service stand for: one address that stays, or the endpoints?",
        "If it stands for the endpoints: do all of them count?",
        'Build it in a copy and ask: `cluster.resolve("shop/web", "mine").addresses`.',
    ),
    distractors=(
        Distractor(
            "headless-gives-one-address",
            lambda case: 1 if case["kind"] == "headless" else case["free"],
            "Does this Service have an address of its own? Look at its type again.",
        ),
        Distractor(
            "dns-lists-unready-pods",
            lambda case: case["n"],
            "That counts every pod. DNS reads the list of endpoints, and looks at what is ready.",
        ),
    ),
)

# 09.2

NAMES = (
    ("db-1.db.data.svc.cluster.local", "the StatefulSet db has the serviceName db and two pods, of which db-1 is not ready"),
    ("db-0.db.data.svc.cluster.local", "the StatefulSet db has the serviceName db"),
    ("db-0.db-read.data.svc.cluster.local", "the StatefulSet db has the serviceName db"),
    ("db-0.db.data.pod.cluster.local", "the StatefulSet db has the serviceName db"),
    ("POD.cart-each.shop.svc.cluster.local", "cart is a Deployment, and cart-each a headless Service for it"),
    ("DASHED.cart-each.shop.svc.cluster.local", "cart is a Deployment, and cart-each a headless Service for it"),
)
EXISTS = Form(
    "word", choices=("exists", "does not exist"), synonyms={"yes": "exists", "no": "does not exist", "nxdomain": "does not exist"}
)


def _name_case(seed: int) -> Case:
    name, what = pick(seed, "which", NAMES)
    cluster = bookshop()
    cluster.apply(_service("cart-each", clusterIP="None", selector={NAME: "cart"}, ports=[{"name": "http", "port": 8080}]))
    cart = cluster.pod("shop/cart")
    if name.startswith("db-1."):
        cluster.scale("data/db", 2)
        cluster.set_pod("data/db-1", ready=False)
    full = name.replace("POD", cart.name.rpartition("/")[2]).replace("DASHED", cart.ip.replace(".", "-"))
    found = bool(cluster.resolve("shop/api", full).addresses)
    return Case(cluster, {"name": full, "what": what, "found": found, "shape": name})


def _why_name(case: Case) -> str:
    if case["found"]:
        return "It is a name that CoreDNS makes for an endpoint of a headless Service: its hostname, or its address with dashes."
    if ".pod." in case["shape"]:
        return "Under pod stand names made of addresses, and none made of a pod's own name."
    if case["shape"].startswith("db-1."):
        return "The name belongs to the endpoint, and DNS leaves out an endpoint that is not ready."
    return "A pod has such a name only under the headless Service that its subdomain says, with the hostname that it has itself."


WHICH_NAME = Exercise(
    id="09.2",
    title="Does the name exist",
    prompt="In the bookshop {what}. Does the name {name} exist in DNS, or does it not?",
    form=EXISTS,
    setup=_name_case,
    truth=lambda case: "exists" if case["found"] else "does not exist",
    because=_why_name,
    hints=(
        "To what does such a name belong: to a pod, or to an endpoint of a headless Service?",
        "Which Service stands in it, and is it the one that the pod's subdomain says?",
        'Ask: `cluster.resolve("shop/api", "{name}")`.',
    ),
    distractors=(
        Distractor(
            "dns-lists-unready-pods",
            lambda case: "exists" if case["shape"].startswith("db-1.") else None,
            "The pod runs, and has an address. Which endpoints does DNS read?",
        ),
        Distractor(
            "every-pod-has-a-name",
            lambda case: "exists" if case["shape"].startswith("POD") else None,
            "Look at the pod: are its hostname and its subdomain set?",
        ),
        Distractor(
            "pods-have-names-of-their-own",
            lambda case: "exists" if not case["shape"].startswith(("POD", "db-1.")) else None,
            "Read the name from the right: which Service's endpoint is it, and is that Service headless?",
        ),
    ),
)

# 09.3

PORTS = (("ExternalName", 80), ("headless", 80), ("ExternalName", 8080), ("headless", 8080))


def _port_case(seed: int) -> Case:
    kind, port = pick(seed, "alias", PORTS)
    cluster = bookshop()
    if kind == "headless":
        cluster.apply(_service("mine", clusterIP="None", selector={NAME: "api"}, ports=[{"port": 80, "targetPort": 8080}]))
        words = "is headless, selects the pods of api, and has port 80 with targetPort 8080"
    else:
        spec = {"type": "ExternalName", "externalName": "api.shop.svc.cluster.local"}
        cluster.apply(_service("mine", **spec, ports=[{"port": 80, "targetPort": 8080}]))
        words = "is an ExternalName for api.shop.svc.cluster.local, and has port 80 with targetPort 8080"
    trace = cluster.ask("shop/cart", f"http://mine:{port}")
    return Case(cluster, {"kind": kind, "port": port, "words": words, "verdict": trace.verdict})


def _why_port(case: Case) -> str:
    if case["kind"] == "headless":
        return "The packet goes straight to a pod, at the port that the client wrote. The pods of api listen on 8080, and on nothing else."
    return "The name leads to the ClusterIP of api, and the port stays as the client wrote it. There api has port 8080 only."


PORT = Exercise(
    id="09.3",
    title="Which port",
    prompt=(
        "The new Service mine {words}. (The Service api has port 8080, and its pods listen on 8080.) cart asks for http://mine:{port}. "
        "Which verdict does it get?"
    ),
    form=Form("word", choices=VERDICTS, synonyms={"works": "delivered", "ok": "delivered", "hangs": "timeout"}),
    setup=_port_case,
    truth=lambda case: case["verdict"],
    because=_why_port,
    hints=(
        "Which address does the name lead to, and is there any rule that changes the port?",
        "If nothing changes the port, who gets the packet, and does somebody listen there?",
        'Build it in a copy and ask: `cluster.ask("shop/cart", "http://mine:{port}")`.',
    ),
    distractors=(
        Distractor(
            "external-name-has-a-port",
            lambda case: ("delivered" if case["port"] == 80 else "timeout") if case["kind"] == "ExternalName" else None,
            "Who would translate the port? Look for a rule with this Service's name.",
        ),
        Distractor(
            "external-name-proxies",
            lambda case: "refused" if case["kind"] == "ExternalName" else None,
            "There is nobody in between who could refuse. Follow the packet to the address that DNS gave.",
        ),
        Distractor(
            "headless-translates-ports",
            lambda case: "delivered" if case["kind"] == "headless" else None,
            "Port and targetPort meet in a rule, and a headless Service has none.",
        ),
        Distractor(
            "headless-has-rules",
            lambda case: "timeout" if case["kind"] == "headless" else None,
            "The packet goes to a pod's own address, and there is always a kernel to answer.",
        ),
    ),
)


# 09.4

PUBLISHER = "books.example"
#: the name in the URL, by which the client also finds the server unless it is told otherwise, and the Host header
SAYINGS = (
    ("https", "catalogue", PUBLISHER), ("https", PUBLISHER, "catalogue"), ("http", "catalogue.shop", ""),
    ("https", PUBLISHER, ""), ("https", "catalogue", ""),
)  # fmt: skip


def _publisher(cluster: Any) -> Any:
    """An ingress controller that serves books.example, and the ExternalName catalogue that leads to it."""
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": PUBLISHER, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec = {"ingressClassName": "bookshop", "tls": [{"hosts": [PUBLISHER], "secretName": "books-tls"}], "rules": [rule]}
    door = {"kubernetes.io/service-name": "publisher"}
    secret = {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}
    return cluster.apply([
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "books-tls", "namespace": "shop"}, **secret},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "books", "namespace": "shop"}, "spec": spec},
        _service("publisher", clusterIP="None", ports=[{"name": "http", "port": 80}]),
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
         "metadata": {"name": "publisher-1", "namespace": "shop", "labels": door},
         "addressType": "IPv4", "ports": [{"name": "http", "port": 80}], "endpoints": [{"addresses": ["192.168.50.11"]}]},
        _service("catalogue", type="ExternalName", externalName="publisher.shop.svc.cluster.local"),
    ])  # fmt: skip


def _saying_case(seed: int) -> Case:
    scheme, said, header = pick(seed, "saying", SAYINGS)
    cluster = _publisher(bookshop())
    route = cluster.ingress.route(f"{scheme}://{said}/", headers={"Host": header or said})
    if scheme == "https" and not route.tls.secret:
        meets = "a wrong certificate"
    else:
        meets = "an answer" if route.status == 200 else "404"
    command = f"curl {scheme}://{said}/"
    if header:
        command += f' -H "Host: {header}"'
    if said == PUBLISHER:
        command += f" --connect-to {PUBLISHER}:443:catalogue:443"
    note = " (--connect-to changes where curl connects to, and nothing that it says.)" if "--connect-to" in command else ""
    return Case(cluster, {"scheme": scheme, "said": said, "host": header or said, "meets": meets, "command": command, "note": note})


def _why_met(case: Case) -> str:
    if case["meets"] == "a wrong certificate":
        return f"The handshake comes first, and names {case['said']}, as the URL does. The Host header would have come after it."
    return f"The server reads the name that the client says, {case['host']}, in whatever way its address was found."


SAYING = Exercise(
    id="09.4",
    title="The name that is said",
    prompt=(
        "catalogue is an ExternalName that leads to a publisher's server, which serves books.example alone and has a certificate for that "
        "name. A pod runs `{command}`.{note} What does it meet?"
    ),
    form=Form(
        "word", choices=("an answer", "404", "a wrong certificate"), synonyms={"200": "an answer", "certificate": "a wrong certificate"}
    ),
    setup=_saying_case,
    truth=lambda case: case["meets"],
    because=_why_met,
    hints=(
        "Which names does the client say: in the handshake, if there is one, and in the Host header? Has DNS a part in that?",
        "What comes first over TLS: the certificate, or the request? Each is about a name of its own.",
        'Apply the lesson\'s manifests and ask: `cluster.ingress.route("{scheme}://{said}/", headers=dict(Host="{host}"))`.',
    ),
    distractors=(
        Distractor(
            "external-name-changes-host",
            lambda case: "an answer" if case["scheme"] == "http" else None,
            "Who would write another name into the request? DNS has given an address, and is gone.",
        ),
        Distractor(
            "certificate-follows-the-cname",
            lambda case: "an answer" if case["scheme"] == "https" and case["said"] == case["host"] == "catalogue" else None,
            "Against which name does the client check: the one that it asked for, or the one that DNS found behind it?",
        ),
        Distractor(
            "certificate-follows-the-host-header",
            lambda case: None if case["said"] == case["host"] else "an answer" if case["said"] == "catalogue" else "a wrong certificate",
            "When does the server read the Host header: before it shows its certificate, or after?",
        ),
    ),
)


def _three(seed: int) -> Case:
    cluster = bookshop()
    cluster.scale("data/db", 3)
    return Case(cluster)


COUNT = Prediction(
    id="09.a",
    title="Three replicas",
    prompt="The StatefulSet db has three ready pods. How many addresses does the headless name db.data have?",
    form=Form("number"),
    setup=_three,
    truth=lambda case: len(case.cluster.resolve("shop/api", "db.data").addresses),
)


def _cart(seed: int) -> Case:
    cluster = bookshop()
    cluster.apply(_service("cart-each", clusterIP="None", selector={NAME: "cart"}, ports=[{"name": "http", "port": 8080}]))
    name = f"{cluster.pod('shop/cart').name.rpartition('/')[2]}.cart-each.shop.svc.cluster.local"
    return Case(cluster, {"found": bool(cluster.resolve("shop/web", name).addresses)})


DEPLOYED = Prediction(
    id="09.b",
    title="A pod of a Deployment",
    prompt="A headless Service selects the pods of the Deployment cart. Does the name made of a pod's name and that Service exist?",
    form=EXISTS,
    setup=_cart,
    truth=lambda case: "exists" if case["found"] else "does not exist",
)

UNKNOWN_HOST = Prediction(
    id="09.c",
    title="A name that the server does not know",
    prompt="The publisher's server serves books.example alone. Which HTTP status does api get for http://catalogue?",
    form=Form("number"),
    setup=lambda seed: Case(_publisher(bookshop())),
    truth=lambda case: case.cluster.copy().request("shop/api", "http://catalogue").answer.status,
)

QUESTIONS: tuple[Question, ...] = (COUNT, DEPLOYED, UNKNOWN_HOST, ADDRESSES, WHICH_NAME, PORT, SAYING)
