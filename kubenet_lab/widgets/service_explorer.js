// ServiceExplorer: draws the `view` that Python computes.
function render({ model, el }) {
  const id = fresh();
  const send = (changes) => { for (const [key, value] of Object.entries(changes)) model.set(key, value); model.save_changes(); };
  const edit = (name, value) => send({ fields: { ...model.get("fields"), [name]: value } });
  const select = (name, label, options, act) => {
    const control = h("select", { id: `${id}-${name}`, "aria-describedby": `${id}-${name}-e`, onchange: () => act(control.value) });
    const error = h("div", { class: "kn-wrongly", id: `${id}-${name}-e` });
    return { name, control, error, options, box: h("div", { class: "kn-field" }, h("label", { for: `${id}-${name}` }, label), control, error) };
  };
  const typed = (name, label) => {
    const control = h("input", { id: `${id}-${name}`, type: "text", spellcheck: "false", autocomplete: "off", "aria-describedby": `${id}-${name}-e` });
    let timer = 0;
    const act = () => { clearTimeout(timer); if (control.value !== model.get("fields")[name]) edit(name, control.value); };
    control.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(act, 350); });
    control.addEventListener("change", act);
    const error = h("div", { class: "kn-wrongly", id: `${id}-${name}-e` });
    return { name, control, error, box: h("div", { class: "kn-field" }, h("label", { for: `${id}-${name}` }, label), control, error) };
  };
  const policies = () => ["Cluster", "Local"];
  const service = select("service", "Service", (v) => v.services, (value) => send({ service: value }));
  const form = [
    select("type", "type", (v) => v.types, (value) => edit("type", value)),
    typed("selector", "selector"), typed("port", "port"), typed("targetPort", "targetPort"),
    select("externalTrafficPolicy", "externalTrafficPolicy", policies, (value) => edit("externalTrafficPolicy", value)),
    select("internalTrafficPolicy", "internalTrafficPolicy", policies, (value) => edit("internalTrafficPolicy", value)),
    select("sessionAffinity", "sessionAffinity", () => ["None", "ClientIP"], (value) => edit("sessionAffinity", value)),
  ];
  const client = select("client", "who asks", (v) => v.clients, (value) => send({ client: value }));
  const way = select("way", "by which address", (v) => v.ways, (value) => send({ way: value }));
  const node = select("node", "rules of node", (v) => v.nodes, (value) => send({ node: value }));
  let asked = 0;
  const reset = h("button", { type: "button", onclick: () => model.send({ reset: ++asked }) }, "as in the cluster");
  const address = h("p", { class: "kn-facts" });
  const whole = h("div", { class: "kn-wrongly" });
  const pods = h("ul", { class: "kn-pods", "aria-label": "pods of the namespace" });
  const verdict = h("div", { class: "kn-verdict", role: "status", "aria-live": "polite" });
  const bars = h("ul", { class: "kn-bars", "aria-label": "outcomes, with their probability" });
  const why = h("ul", { class: "kn-small" });
  const rules = h("pre", { tabindex: "0", "aria-label": "rules of this Service" });
  const path = h("ol", { class: "kn-path", "aria-label": "the likeliest way, hop by hop" });

  // a line breaks between words only: a browser would also break "-j" and "KUBE-SVC-..." after their hyphens
  const words = (text) => text.split(/(\s+)/).map((part) => (part.trim() ? h("span", {}, part) : part));
  const panel = (title, ...kids) => h("section", { class: "kn-panel", "aria-label": title }, h("h3", { class: "kn-h" }, h("span", {}, title)), ...kids);
  const left = h("div", {},
    panel("the Service", h("div", { class: "kn-form" }, service.box, form.map((f) => f.box)), whole, h("div", { class: "kn-bar" }, reset), address),
    panel("pods and endpoints", pods));
  const way_panel = panel("the likeliest way", path);
  const right = h("div", {}, panel("outcomes", h("div", { class: "kn-form kn-who" }, client.box, way.box), verdict, bars, why), way_panel);
  const below = panel("rules", h("div", { class: "kn-form" }, node.box), rules);

  function fill(s, view, value) {
    const options = s.options(view);
    const all = value && !options.includes(value) ? [...options, value] : options;
    if (s.control.options.length !== all.length || [...s.control.options].some((o, n) => o.value !== all[n])) s.control.replaceChildren(...all.map((o) => h("option", { value: o }, o.replace(/^pod\//, ""))));
    s.control.value = value;
  }
  function show() {
    const view = model.get("view"), fields = model.get("fields");
    if (!view.errors) return;
    fill(service, view, model.get("service"));
    for (const f of form) {
      if (f.options) fill(f, view, fields[f.name]);
      else if (document.activeElement !== f.control || f.control.value.trim() === "") { if (f.control.value !== fields[f.name]) f.control.value = fields[f.name]; }
      const error = view.errors[f.name] || "";
      f.control.setAttribute("aria-invalid", String(Boolean(error)));
      const idle = view.idle[f.name] || "";
      f.control.disabled = Boolean(idle);
      f.error.className = error ? "kn-wrongly" : "kn-aside";
      f.error.textContent = error ? `✗ ${error}` : idle;
    }
    whole.textContent = view.errors[""] ? `✗ ${view.errors[""]}` : "";
    fill(client, view, model.get("client"));
    fill(way, view, view.way || model.get("way"));
    fill(node, view, model.get("node"));
    address.textContent = view.address;
    showPods(view);
    verdict.className = `kn-verdict${view.ok ? " kn-ok" : ""}`;
    verdict.replaceChildren(h("b", {}, view.ok ? "✓ " : "✗ "), view.said);
    bars.replaceChildren(...view.outcomes.map((o) => h("li", { class: o.ok ? "kn-good" : "kn-bad" },
      h("div", { class: "kn-share" }, h("span", { style: `width:${o.percent}%` })),
      h("div", {}, h("b", {}, `${o.mark} ${o.share}`), ` ${o.verdict}${o.who ? ` to ${o.who}` : ""}`, o.seen ? h("small", {}, `the server sees ${o.seen}`) : null, o.error ? h("small", {}, o.error) : null))));
    why.replaceChildren(...view.reasons.map((r) => h("li", {}, r)));
    why.hidden = !view.reasons.length;
    rules.replaceChildren(...words(view.rules_said || view.rules.map(([table, text]) => `${table.padEnd(6)} ${text}`).join("\n") + (view.more ? `\nand ${view.more} more` : "")));
    way_panel.hidden = !view.path;
    path.replaceChildren(...(view.path ? view.path.hops : []).map(([n, host, layer, title, entry, failed]) => h("li", { class: failed ? "kn-bad" : "", style: colours(layer) },
      failed ? "✗ " : "", title.startsWith(`${host} `) ? [h("b", {}, host), title.slice(host.length)] : [h("b", {}, `${host}: `), title], entry ? h("code", {}, words(entry)) : null)));
  }
  function showPods(view) {
    const keys = view.pods.map((p) => p.key).join(" ");
    if (pods.dataset.keys !== keys) {
      pods.dataset.keys = keys;
      pods.replaceChildren(...view.pods.map((p, n) => {
        const choice = h("select", { id: `${id}-p${n}`, onchange: () => send({ pods: { ...model.get("pods"), [p.key]: choice.value } }) }, view.states.map((s) => h("option", { value: s }, s)));
        return h("li", {}, h("label", { for: `${id}-p${n}` }, p.key.split("/")[1], h("small", {}, p.node)), choice, h("span", { class: "kn-end" }));
      }));
    }
    [...pods.children].forEach((li, n) => {
      const p = view.pods[n];
      li.querySelector("select").value = p.state;
      li.className = p.mark === "✓" ? "kn-good" : p.selected ? "kn-bad" : "";
      li.querySelector(".kn-end").textContent = p.mark ? `${p.mark} ${p.said}` : "";
    });
  }
  el.replaceChildren(h("div", { onkeydown: ownKeys, class: "kn-tracer kn-service", role: "group", "aria-label": "Service explorer", "data-lm-suppress-shortcuts": "true" }, h("div", { class: "kn-two" }, left, right), below));
  model.on("change:view", show);
  model.on("change:fields", show);
  show();
  return () => { model.off("change:view", show); model.off("change:fields", show); };
}
export default { render };
