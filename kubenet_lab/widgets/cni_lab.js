// CniLab: draws the `view` and `modeview` that Python computes.
function render({ model, el }) {
  const id = fresh();
  const send = (changes) => { for (const [key, value] of Object.entries(changes)) model.set(key, value); model.save_changes(); };
  let asked = 0, timer = 0;
  const ask = (verb) => send({ command: { verb, pod: pods.value, n: ++asked + Math.random() } });
  const button = (text, act, props = {}) => h("button", { type: "button", onclick: act, ...props }, text);

  // ------------------------------------------------------------------------------------------------- the editor
  const choice = h("select", { id: `${id}-e`, onchange: () => choice.value && send({ example: choice.value }) });
  const area = h("textarea", { id: `${id}-t`, spellcheck: "false", autocomplete: "off", wrap: "off", "aria-describedby": `${id}-p`, rows: "8" });
  const nums = h("ol", { class: "kn-nums", "aria-hidden": "true" });
  const problem = h("div", { id: `${id}-p`, role: "status", "aria-live": "polite" });
  area.addEventListener("input", () => { size(); clearTimeout(timer); timer = setTimeout(() => send({ conflist: area.value, example: "" }), 250); });
  area.addEventListener("blur", () => { clearTimeout(timer); if (area.value !== model.get("conflist")) send({ conflist: area.value, example: "" }); });
  function size() { area.rows = Math.max(8, area.value.split("\n").length); numbers(); }
  function numbers() {
    const wrong = new Set((model.get("view").problems || []).map((p) => p.line));
    nums.replaceChildren(...area.value.split("\n").map((_, n) => h("li", { class: wrong.has(n + 1) ? "kn-wrong" : "" }, String(n + 1))));
  }
  const editor = h("section", { class: "kn-panel", "aria-label": "conflist" },
    h("h3", { class: "kn-h" }, h("label", { for: `${id}-t` }, "conflist"), h("span", {}, "/etc/cni/net.d")),
    h("div", { class: "kn-bar" }, h("div", { class: "kn-field" }, h("label", { for: `${id}-e` }, "start from"), choice)),
    h("div", { class: "kn-editor" }, nums, area), problem);

  // --------------------------------------------------------------------------------------------- what was done
  const pods = h("select", { id: `${id}-w` });
  const verdict = h("div", { class: "kn-verdict", role: "status", "aria-live": "polite" });
  const log = h("ol", { class: "kn-log", "aria-label": "operations so far" });
  const calls = h("ol", { class: "kn-calls", "aria-label": "plugin calls, in order" });
  const detail = h("div", { class: "kn-detail" });
  const done = h("section", { class: "kn-panel", "aria-label": "operations" },
    h("h3", { class: "kn-h" }, h("span", {}, "operations")),
    h("div", { class: "kn-bar" }, button("ADD a pod", () => { flush(); ask("ADD"); }, { class: "kn-go" }),
      h("div", { class: "kn-field" }, h("label", { for: `${id}-w` }, "pod"), pods),
      button("DEL", () => ask("DEL")), button("CHECK", () => ask("CHECK")), button("GC", () => { flush(); ask("GC"); }), button("STATUS", () => { flush(); ask("STATUS"); })),
    log, h("div", { style: "padding:0 12px" }, verdict), calls, detail);
  function flush() { clearTimeout(timer); if (area.value !== model.get("conflist")) send({ conflist: area.value, example: "" }); }

  // ------------------------------------------------------------------------------------- what is there, the modes
  const tables = h("div", { class: "kn-tables" });
  const state = h("section", { class: "kn-panel", "aria-label": "what is there now" }, h("h3", { class: "kn-h" }, h("span", {}, "what is there now")), tables);
  const which = h("fieldset", {}, h("legend", {}, "pod network"));
  const tick = h("input", { type: "checkbox", id: `${id}-a`, onchange: () => send({ apart: tick.checked }) });
  const facts = h("p", { class: "kn-facts", role: "status", "aria-live": "polite" });
  const stack = h("div", { class: "kn-stack", role: "list", "aria-label": "headers on the wire, from the outside in" });
  const other = h("section", { class: "kn-panel", "aria-label": "the same packet under another pod network" },
    h("h3", { class: "kn-h" }, h("span", {}, "the same packet under another pod network")),
    h("div", { class: "kn-bar" }, which, h("label", { class: "kn-tick", for: `${id}-a` }, tick, "a router between the nodes")), facts, stack);

  function keep(list, draw) { // the focus stays where it was when a list is drawn anew
    const at = [...list.querySelectorAll("button")].indexOf(document.activeElement);
    draw();
    if (at >= 0) (list.querySelectorAll("button")[at] || list.querySelector("button"))?.focus();
  }

  function show() {
    const view = model.get("view");
    if (document.activeElement !== area && area.value !== model.get("conflist")) area.value = model.get("conflist");
    else if (model.get("example") && area.value !== model.get("conflist")) area.value = model.get("conflist");
    size();
    const names = model.get("names");
    choice.replaceChildren(h("option", { value: "" }, "my own"), ...names.examples.map((name) => h("option", { value: name }, name)));
    choice.value = model.get("example");
    problem.className = `kn-problem${view.problems.length ? "" : " kn-fine"}`;
    problem.replaceChildren(...(view.problems.length ? view.problems.map((p) => h("div", {}, `✗ line ${p.line}: error ${p.code}: ${p.message}`)) : ["✓ this can be read"]));
    const before = pods.value;
    pods.replaceChildren(...(view.attached.length ? view.attached : [""]).map((name) => h("option", { value: name }, name || "none yet")));
    pods.value = view.attached.includes(before) ? before : view.attached[view.attached.length - 1] || "";
    const step = model.get("step"), call = model.get("call");
    keep(log, () => log.replaceChildren(...view.history.map(([title, ok], n) => h("li", {}, button(`${ok ? "✓" : "✗"} ${title}`, () => send({ step: n + 1, call: 1 }), n + 1 === step ? { "aria-current": "step" } : {})))));
    const op = view.operation;
    verdict.className = `kn-verdict${op && op.ok && !view.said ? " kn-ok" : ""}`;
    verdict.hidden = !op && !view.said;
    verdict.replaceChildren(...(view.said ? [h("b", {}, "✗ "), view.said] : op ? [h("b", {}, `${op.symbol} ${op.title}: `), op.said] : []));
    keep(calls, () => calls.replaceChildren(...(op ? op.calls : []).map((c, n) => h("li", { style: `padding-left:${c.depth * 22}px` },
      button("", () => send({ call: n + 1 }), n + 1 === call ? { "aria-current": "true" } : {})))));
    [...calls.querySelectorAll("button")].forEach((b, n) => { const c = op.calls[n]; put(b, [h("span", {}, `${n + 1}. ${c.plugin} ${c.command}`), h("span", { class: c.ok ? "kn-good" : "kn-bad" }, `${c.ok ? "✓" : "✗"} ${c.said}`)]); });
    const c = op && op.calls[call - 1];
    const open = [...detail.querySelectorAll("details")].map((d) => d.open);
    const mark = { "+": "kn-plus", "-": "kn-minus", "~": "kn-tilde" };
    detail.replaceChildren(...(c ? [
      h("p", {}, h("b", {}, `what ${c.plugin} changed`)),
      c.changes.length ? h("ul", { class: "kn-changes" }, c.changes.map(([m, what]) => h("li", { class: mark[m] }, `${m} ${what}`)), c.more ? h("li", {}, `and ${c.more} more`) : null) : h("p", {}, "nothing"),
      h("details", { open: open[0] ?? false }, h("summary", {}, "what it was told (stdin)"), h("pre", { tabindex: "0" }, c.stdin), h("code", {}, c.environ)),
      h("details", { open: open[1] ?? true }, h("summary", {}, "what it answered (stdout)"), h("pre", { tabindex: "0" }, c.stdout)),
    ] : [h("p", {}, op ? "No plugin was called." : "Nothing done yet: ADD a pod.")]));
    tables.replaceChildren(...view.tables.map((t) => h("div", {}, h("h4", {}, t.title), h("ul", {}, t.rows.map((row) => h("li", {}, row))))));
  }

  function showMode() {
    const view = model.get("modeview");
    keep(which, () => which.replaceChildren(h("legend", {}, "pod network"), ...model.get("names").modes.map(([value, label]) => button(label, () => send({ mode: value }), { "aria-pressed": String(value === model.get("mode")) }))));
    tick.checked = model.get("apart");
    facts.replaceChildren(...(view.error ? [h("b", {}, "! "), view.error] : [view.said, h("br"), `pod MTU ${view.mtu} · route on the node:`, h("code", {}, view.route || "none")]));
    stack.replaceChildren(...(view.headers ? view.headers.stack.map(headerCard) : []));
  }

  el.replaceChildren(h("div", { onkeydown: ownKeys, class: "kn-tracer kn-cni", role: "group", "aria-label": "CNI lab", "data-lm-suppress-shortcuts": "true" }, h("div", { class: "kn-two" }, editor, done), state, other));
  const handlers = [["change:view", show], ["change:step", show], ["change:call", show], ["change:conflist", show], ["change:names", show], ["change:modeview", showMode], ["change:mode", showMode], ["change:apart", showMode]];
  for (const [event, act] of handlers) model.on(event, act);
  show();
  showMode();
  return () => { for (const [event, act] of handlers) model.off(event, act); };
}
export default { render };
