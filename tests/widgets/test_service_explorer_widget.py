"""ServiceExplorer without a browser: what the form makes of a Service, errors at their field, pods, words; the cluster stays as it is."""

from __future__ import annotations

from typing import Any

import pytest
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st

import kubenet_lab as kn
from kubenet_lab.errors import KubenetError, NotFound
from kubenet_lab.widgets import ServiceExplorer
from kubenet_lab.widgets.assets import script
from kubenet_lab.widgets.service_view import FIELDS, STATES, TYPES, Edited, explorer_view, fields_of


@pytest.fixture(scope="module")
def bookshop() -> Any:
    return kn.example("bookshop")


@pytest.fixture
def lab(bookshop: Any) -> ServiceExplorer:
    return ServiceExplorer(bookshop)


def takers(lab: ServiceExplorer) -> set[str]:
    return {p["key"] for p in lab.view["pods"] if p["mark"] == "✓"}


def test_it_starts_as_the_cluster_is(bookshop: Any, lab: ServiceExplorer) -> None:
    assert lab.errors == {} and lab.view["ok"] and lab.view["said"] == "answered by 2 endpoints"
    ways = bookshop.outcomes("shop/api", "svc:shop/web", port=80)
    assert [(o["share"], o["who"], o["seen"]) for o in lab.outcomes] == [(str(o.probability), o.answered_by, o.source_seen) for o in ways]
    assert takers(lab) == {p.key for p in bookshop.objects("Pod") if p.labels.get("app.kubernetes.io/name") == "web"}
    assert all(text in str(bookshop.node("worker-1").iptables_save()) for _, text in lab.view["rules"])
    assert repr(lab) == f"ServiceExplorer(shop/web, {lab.client} by ClusterIP: answered by 2 endpoints)"


def test_what_is_edited_is_what_apply_makes_of_it(bookshop: Any, lab: ServiceExplorer) -> None:
    lab.set(selector="app.kubernetes.io/name=api", targetPort=8080, port=81)
    same = bookshop.copy().delete("Service", "shop/web").apply({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app.kubernetes.io/name": "api"}, "ports": [{"name": "http", "port": 81, "targetPort": 8080}]},
    })  # fmt: skip
    ways = same.outcomes(lab.client, "svc:shop/web", port=81)
    assert [(o["share"], o["who"]) for o in lab.outcomes] == [(str(o.probability), o.answered_by) for o in ways]
    lab.set(selector="app=nobody")
    assert not lab.view["ok"] and takers(lab) == set() and lab.outcomes[0]["error"] == "ECONNREFUSED" and lab.view["reasons"]
    assert any("REJECT" in text for _, text in lab.view["rules"])
    lab.set(selector="")
    assert takers(lab) == set() and not any(p["selected"] for p in lab.view["pods"])
    lab.reset()
    assert lab.view["said"] == "answered by 2 endpoints" and lab.fields == fields_of(bookshop.get("Service", "shop/web"))


def test_fields_that_say_nothing_for_a_type(lab: ServiceExplorer) -> None:
    """They are shown as such, and are no part of the text."""
    assert set(lab.view["idle"]) == {"externalTrafficPolicy"} and "externalTrafficPolicy" not in str(lab.text)
    lab.set(type="NodePort")
    assert not lab.view["idle"] and "externalTrafficPolicy Cluster" in str(lab.text)
    lab.set(type="headless")
    assert {"internalTrafficPolicy", "sessionAffinity"} < set(lab.view["idle"])


def test_types_policies_and_ways(lab: ServiceExplorer) -> None:
    lab.set(type="NodePort")
    assert lab.view["ways"][1:] == [f"{n}:{lab.view['address'].split()[-1]}" for n in ("worker-1", "worker-2")]
    lab.client, lab.way = "external:203.0.113.7", lab.view["ways"][2]
    assert {o["seen"] for o in lab.outcomes} == {"10.244.1.1", "10.244.1.0"}
    lab.set(externalTrafficPolicy="Local")
    assert lab.view["said"] == "answered by 1 endpoint" and lab.outcomes[0]["seen"] == "203.0.113.7"
    lab.set(type="ClusterIP")
    assert lab.view["ways"] == ["ClusterIP"] == [lab.view["way"]] and not lab.view["ok"]
    lab.client = "shop/api"
    lab.set(type="headless")
    assert lab.view["ways"] == ["DNS name"] and "headless" in lab.view["rules_said"]
    lab.set(type="ClusterIP", sessionAffinity="ClientIP")
    assert any("recent" in text for _, text in lab.view["rules"])
    lab.set(sessionAffinity="None", internalTrafficPolicy="Local")
    lab.client = "node:worker-1"
    assert lab.view["said"] == "answered by 1 endpoint"


def test_pods_follow(bookshop: Any, lab: ServiceExplorer) -> None:
    first, second = sorted(takers(lab))
    lab.pod(f"pod/{first}", "not ready")
    assert takers(lab) == {second} and lab.view["said"] == "answered by 1 endpoint"
    assert next(p for p in lab.view["pods"] if p["key"] == first)["said"] == "not ready"
    lab.pods = {first: "terminating"}
    shown = {p["key"]: p for p in lab.view["pods"]}
    assert shown[first]["state"] == "terminating" and len(takers(lab)) == 2 and first not in takers(lab), "its workload makes another one"
    lab.pods = {first: "ready"}
    assert takers(lab) == {first, second}
    assert bookshop.get("Pod", first).ready and len(bookshop.objects("Pod")) == 12


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"port": "eighty"}, "port", "a number from 1 to 65535"),
        ({"port": 70000}, "port", "between 1 and 65535"),
        ({"port": ""}, "port", "a number"),
        ({"targetPort": "not a name"}, "targetPort", "alpha-numeric"),
        ({"targetPort": 70000}, "targetPort", "between 1 and 65535"),
        ({"targetPort": ""}, "targetPort", "empty"),
        ({"selector": "app"}, "selector", "label=value"),
        ({"selector": "app=a b"}, "selector", "a valid label"),
        ({"selector": "a/b/c=x"}, "selector", ""),
        ({"type": "Telephone"}, "type", "Telephone"),
        ({"sessionAffinity": "Cookie"}, "sessionAffinity", "Cookie"),
        ({"internalTrafficPolicy": "Far"}, "internalTrafficPolicy", "Far"),
        ({"type": "NodePort", "externalTrafficPolicy": "Far"}, "externalTrafficPolicy", "Far"),
    ],
    ids=str,
)
def test_an_error_stands_at_its_field(lab: ServiceExplorer, changes: dict[str, Any], field: str, said: str) -> None:
    lab.set(**changes)
    assert set(lab.errors) == {field} and said in lab.errors[field]
    assert not lab.view["ok"] and lab.outcomes == [] and f"✗ {field}: " in lab.text
    lab.reset()
    assert lab.errors == {} and lab.view["ok"]


def test_what_does_not_exist(bookshop: Any, lab: ServiceExplorer) -> None:
    with pytest.raises(KubenetError, match="expected type, selector"):
        lab.set(colour="red")
    with pytest.raises(KubenetError, match="expected ready"):
        lab.pod("shop/web", "asleep")
    with pytest.raises(NotFound):
        lab.pod("shop/wbe", "ready")
    with pytest.raises(traitlets.TraitError, match="nearest"):
        lab.service = "shop/wbe"
    with pytest.raises(NotFound):
        ServiceExplorer(bookshop, "shop/wbe")
    lab.client = "shop/wbe"
    assert "nearest" in lab.view["said"] and lab.outcomes == []
    lab.client, lab.node = "shop/api", "worker-9"
    assert "worker-9" in lab.view["rules_said"]
    lab.pods = {"shop/gone": "ready"}
    assert lab.errors[""] and not lab.view["ok"]


def test_another_service_brings_its_own_form(bookshop: Any, lab: ServiceExplorer) -> None:
    lab.set(port=99)
    lab.service = "svc:data/db"
    assert lab.service == "data/db" and lab.fields == fields_of(bookshop.get("Service", "data/db")) and lab.fields["type"] == "headless"
    assert takers(lab) == {"data/db-0"} and lab.view["ok"]
    for key in lab.view["services"]:
        lab.service = key
        assert lab.errors == {}, key


def test_the_cluster_stays_as_it_is(bookshop: Any) -> None:
    before = bookshop.to_yaml(), str(bookshop.node("worker-1").iptables_save(counters=True)), bookshop.now
    lab = ServiceExplorer(bookshop)
    lab.set(type="NodePort", selector="app.kubernetes.io/name=api")
    lab.pod("shop/api", "terminating")
    assert (bookshop.to_yaml(), str(bookshop.node("worker-1").iptables_save(counters=True)), bookshop.now) == before


@settings(max_examples=40, deadline=None)
@given(
    st.fixed_dictionaries({
        "type": st.sampled_from([*TYPES, "x"]), "selector": st.text("a=,/ .k-", max_size=12) | st.just("app.kubernetes.io/name=web"),
        "port": st.text("0189 x-", max_size=6), "targetPort": st.text("0189 htp-", max_size=6),
        "externalTrafficPolicy": st.sampled_from(["Cluster", "Local", ""]),
        "internalTrafficPolicy": st.sampled_from(["Cluster", "Local", ""]),
        "sessionAffinity": st.sampled_from(["None", "ClientIP", ""]),
    })
)  # fmt: skip
def test_any_text_is_a_service_or_an_error(form: dict[str, str]) -> None:
    view = explorer_view(SHOP, Edited("shop/web-public", form), "shop/api", "worker-1", "ClusterIP")
    assert bool(view["errors"]) != bool(view["ways"]), "it is applied, or it is said why not"
    assert view["said"] and not (view["errors"] and view["outcomes"])
    assert "Traceback" not in view["said"] and set(view["errors"]) <= {*FIELDS, ""}


SHOP = kn.example("bookshop")


def test_the_text_says_what_is_on_the_screen(lab: ServiceExplorer) -> None:
    words = str(lab.text)
    for part in (lab.view["said"], lab.view["address"], *(t for _, t in lab.view["rules"]), *(p["key"] for p in lab.view["pods"])):
        assert part in words
    assert "the likeliest way: ✓ delivered" in words and "1/2 ✓ delivered to shop/web-" in words


def test_the_script_takes_text_only_and_needs_no_network() -> None:
    source = script("service_explorer.js")
    for word in ("innerHTML", "insertAdjacentHTML", "eval(", "http://", "https://", "import "):
        assert word not in source.replace("http://www.w3.org/2000/svg", "")
    assert list(STATES) == ["ready", "not ready", "terminating"]


def test_the_rules_shown_first_are_those_that_the_client_meets(bookshop: Any) -> None:
    clients = {"shop/cart": "worker-2", "shop/web": "worker-1", "node:worker-2": "worker-2", "external:203.0.113.7": "worker-1"}
    assert {client: ServiceExplorer(bookshop, client=client).node for client in clients} == clients
    assert ServiceExplorer(bookshop, client="shop/cart", node="worker-1").node == "worker-1"


def test_the_address_in_words(lab: ServiceExplorer) -> None:
    own = lab.view["address"]
    assert own.startswith("address 10.")
    for kind, words in (("headless", "no address: headless"), ("LoadBalancer", f"{own} · no balancer has given an address")):
        lab.set(type=kind)
        assert lab.view["address"].startswith(words)
