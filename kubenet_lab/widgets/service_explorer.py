"""`ServiceExplorer`: edit a Service, let pods become unready, and see endpoints, rules, outcomes and the path follow."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from ..errors import KubenetError, NotFound
from ..explain.story import Story
from .assets import script, style
from .service_view import FIELDS, STATES, Edited, explorer_view, fields_of

__all__ = ["ServiceExplorer"]


class ServiceExplorer(anywidget.AnyWidget):  # type: ignore[misc, unused-ignore]
    """A Service in a form, beside what becomes of it: who is an endpoint, which rules a node has, who answers with what probability.

    Works on copies: the cluster does not change. From code: `service = "shop/web"` loads another one; `set(port=81, selector="app=web")`
    edits (names as in the API: type, selector, port, targetPort, externalTrafficPolicy, internalTrafficPolicy, sessionAffinity);
    `pod("shop/web-...", "not ready")` (or "terminating", "ready"); `client`, `node` and `way` choose who asks, whose rules are shown, and
    by which address; `reset()`. `outcomes` is what came out, `errors` what cannot be applied, by field, `text` says what is on the screen.
    """

    _esm = script("service_explorer.js")
    _css = style("service_explorer.css")

    service = traitlets.Unicode().tag(sync=True)
    fields = traitlets.Dict().tag(sync=True)  # the form: every value as text
    pods = traitlets.Dict().tag(sync=True)  # {pod: state} where it is not the cluster's
    client = traitlets.Unicode().tag(sync=True)
    node = traitlets.Unicode().tag(sync=True)
    way = traitlets.Unicode("ClusterIP").tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, cluster: Any, service: str = "shop/web", client: str = "shop/api", node: str | None = None):
        self._cluster = cluster
        self._shown: tuple[Any, ...] = ()
        key = service.removeprefix("svc:")
        form = fields_of(cluster.get("Service", key))
        asks = self._client_named(client)
        super().__init__(service=key, fields=form, client=asks, node=node or self._node_of(asks))
        self._show()
        self.on_msg(lambda _, asked, __: self.reset() if isinstance(asked, dict) and "reset" in asked else None)
        self.observe(self._on_service, "service")
        self.observe(lambda change: self._show(), ["fields", "pods", "client", "node", "way"])

    def _client_named(self, name: str) -> str:
        """As the list of clients has it: "pod/ns/name" for a workload's first pod."""
        if name.startswith(("pod/", "node:", "external:")):
            return name
        return f"pod/{self._cluster.pod(name).name}"

    def _node_of(self, client: str) -> str:
        """The node whose rules the client's packets meet first; for one outside, the first node."""
        if client.startswith("node:"):
            return client.removeprefix("node:")
        node = self._cluster.pod(client).node if client.startswith("pod/") else self._cluster.nodes[0]
        return str(node.name)

    # -- editing

    def set(self, **changes: Any) -> None:
        """Edit fields, by their names in the API. Raises KubenetError for a name that is not in the form."""
        if unknown := changes.keys() - set(FIELDS):
            raise KubenetError(f"set: found {', '.join(sorted(unknown))}, expected {', '.join(FIELDS)}")
        self.fields = {**self.fields, **{k: str(v) for k, v in changes.items()}}

    def pod(self, key: str, state: str) -> None:
        """Let a pod (or a workload's first) be "ready", "not ready" or "terminating". Raises KubenetError."""
        if state not in STATES:
            raise KubenetError(f"pod: found state {state!r}, expected {', '.join(STATES)}")
        self.pods = {**self.pods, self._cluster.pod(key).name: state}

    def reset(self) -> None:
        """The Service and the pods as the cluster has them."""
        with self.hold_trait_notifications():
            self.fields, self.pods = fields_of(self._cluster.get("Service", self.service)), {}
        self._show()

    @traitlets.validate("service")
    def _service(self, proposal: Any) -> str:
        key: str = proposal["value"].removeprefix("svc:")
        try:
            self._cluster.get("Service", key)
        except NotFound as e:
            raise traitlets.TraitError(str(e)) from None
        return key

    @traitlets.validate("fields")
    def _fields(self, proposal: Any) -> dict[str, str]:
        return {name: str(proposal["value"].get(name, "")) for name in FIELDS}

    def _on_service(self, change: Any) -> None:
        self.reset()

    # -- showing

    def _show(self) -> None:
        now = (self.service, tuple(self.fields.items()), tuple(sorted(self.pods.items())), self.client, self.node, self.way)
        if now != self._shown:  # one message from the browser may change several traits: answer once
            self._shown = now
            self.view = explorer_view(self._cluster, Edited(self.service, self.fields, self.pods), self.client, self.node, self.way)

    @property
    def errors(self) -> dict[str, str]:
        """What cannot be applied: {field: why}; "" for what belongs to no field."""
        return dict(self.view["errors"])

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """share, verdict, who, seen, error of each way the connection can go."""
        return list(self.view["outcomes"])

    @property
    def text(self) -> Story:
        """What is on the screen, in words."""
        v = self.view
        lines = [f"Service {self.service}: {', '.join(f'{k} {x}' for k, x in self.fields.items() if k not in v['idle'])}"]
        lines += [f"✗ {name or 'Service'}: {why}" for name, why in v["errors"].items()]
        if v["address"]:
            lines.append(v["address"])
        lines += [f"{p['mark'] or '·'} {p['key']} on {p['node']}: {', '.join(x for x in (p['state'], p['said']) if x)}" for p in v["pods"]]
        lines.append(f"{self.client} by {v.get('way', self.way)}: {'✓' if v['ok'] else '✗'} {v['said']}")
        for o in v["outcomes"]:
            who, seen = f" to {o['who']}" if o["who"] else "", f", the server sees {o['seen']}" if o["seen"] else ""
            lines.append(f"  {o['share']} {o['mark']} {o['verdict']}{who}{seen}")
        lines += [f"  because: {r}" for r in v["reasons"]]
        lines += [f"rules on {self.node}: {v['rules_said'] or len(v['rules']) + v['more']}", *(f"  {rule}" for _, rule in v["rules"])]
        if v["path"]:
            lines.append(f"the likeliest way: {v['path']['summary']}")
            for n, host, _, title, _, _ in v["path"]["hops"]:
                lines.append(f"  {n}. {title if title.startswith(f'{host} ') else f'{host}: {title}'}")
        return Story("\n".join(lines))

    def __repr__(self) -> str:
        return f"ServiceExplorer({self.service}, {self.client} by {self.view.get('way', self.way)}: {self.view['said']})"
