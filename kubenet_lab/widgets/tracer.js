// PacketTracer: draws the `view` that Python computes. Text goes in as text only, never as HTML.
/** An editable combobox with a list that filters by typing (ARIA APG, list autocomplete, manual selection). */
function combobox(id, label, value, options, choose) {
  let active = -1, shown = [];
  const list = h("ul", { class: "kn-list", id: `${id}-list`, role: "listbox", "aria-label": label, hidden: true });
  const input = h("input", {
    id, type: "text", role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": `${id}-list`, autocomplete: "off", spellcheck: "false",
  });
  const open = h("button", { type: "button", class: "kn-open", tabindex: "-1", "aria-label": `Show all choices for ${label}` }, "▼");
  input.value = value;
  const isOpen = () => !list.hidden;
  function mark(n) {
    active = n;
    [...list.children].forEach((li, i) => li.getAttribute("role") === "option" && li.setAttribute("aria-selected", String(i === n)));
    const li = n >= 0 ? list.children[n] : null;
    if (li) { input.setAttribute("aria-activedescendant", li.id); li.scrollIntoView({ block: "nearest" }); } else input.removeAttribute("aria-activedescendant");
  }
  function close() { list.hidden = true; input.setAttribute("aria-expanded", "false"); mark(-1); }
  function show(text) {
    const want = text.trim().toLowerCase();
    shown = options().filter(([name, kind]) => !want || name.toLowerCase().includes(want) || kind.toLowerCase().includes(want)).slice(0, 300);
    list.replaceChildren(...shown.map(([name, kind, ports], n) => h("li", {
      role: "option", id: `${id}-o${n}`, "aria-selected": "false",
      onmousedown: (e) => { e.preventDefault(); pick(n); },
    }, h("span", {}, name), h("small", {}, ports?.length ? `${kind} ${ports.map((p) => p.join("/")).join(", ")}` : kind))));
    if (!shown.length) list.append(h("li", { class: "kn-none", role: "option", "aria-disabled": "true", "aria-selected": "false", id: `${id}-o0` }, "nothing in the list: it is asked as typed"));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    mark(-1);
  }
  function pick(n) { if (!shown[n]) return; input.value = shown[n][0]; close(); choose(input.value, shown[n]); }
  input.addEventListener("input", () => { show(input.value); choose(input.value); });
  input.addEventListener("click", () => { if (!isOpen()) { show(""); input.select(); } });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (e) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      e.preventDefault();
      const fresh = !isOpen();
      if (fresh) show("");
      if (e.altKey || !shown.length) return;
      const here = fresh ? shown.findIndex(([name]) => name === input.value) : active;
      const step = e.key === "ArrowDown" ? 1 : -1;
      mark(fresh && here >= 0 ? here : (here + step + shown.length + (here < 0 && step < 0 ? 1 : 0)) % shown.length);
    } else if (e.key === "Enter" && isOpen() && active >= 0) { e.preventDefault(); pick(active); }
    else if (e.key === "Enter") close();
    else if (e.key === "Escape" && isOpen()) { e.preventDefault(); e.stopPropagation(); close(); }
    else if (e.key === "Tab" && isOpen() && active >= 0) pick(active);
  });
  open.addEventListener("mousedown", (e) => e.preventDefault());
  open.addEventListener("click", () => { input.focus(); if (isOpen()) close(); else show(""); });
  const box = h("div", { class: "kn-field kn-wide" }, h("label", { for: id }, label), h("div", { class: "kn-combo" }, input, open, list));
  return { box, input, set: (text) => { if (input.value !== text) input.value = text; } };
}

const line = (points) => points.map(([x, y], n) => `${n ? "L" : "M"}${x} ${y}`).join("");

function rects(list) {
  return list.map(([x, y, w, hh, fill, stroke, width, r, dash]) => s("rect", { x, y, width: w, height: hh, rx: r, fill: role(fill), stroke: role(stroke), "stroke-width": width, "stroke-dasharray": dash }));
}

/** The part of the picture that does not change while stepping. */
function drawScene(picture, ids, title, description) {
  const [w, hh] = picture.size;
  const lines = picture.lines.map(([kind, points]) => s("path", {
    d: line(points), fill: "none", stroke: role(["wire", "uplink", "child"].includes(kind) ? "wire" : "line"), "stroke-width": kind === "wire" ? 2.2 : 1.4, "stroke-linejoin": "round",
  }));
  const texts = picture.texts.map(([text, x, y, size, colour, bold, mono, anchor, halo]) => s("text", {
    x, y, "font-size": size, fill: role(colour), "font-weight": bold ? 600 : "", "text-anchor": anchor === "start" ? "" : anchor, class: mono ? "kn-m" : "",
    ...(halo ? { stroke: role(halo), "stroke-width": 3, "paint-order": "stroke", "stroke-linejoin": "round" } : {}),
  }, text));
  const way = s("g", { class: "kn-way", fill: "none", "stroke-linejoin": "round", "stroke-linecap": "round" });
  const lit = s("g", { class: "kn-lit", fill: "none" });
  const packet = s("g", { class: "kn-packet" });
  const svg = s("svg", { viewBox: `7 5 ${w - 14} ${hh - 14}`, style: `max-width:${Math.round(w * 1.25)}px`, role: "img", "aria-labelledby": `${ids}-t ${ids}-d` },
    s("title", { id: `${ids}-t` }, title), s("desc", { id: `${ids}-d` }, description),
    rects(picture.back), lines, way, rects(picture.front), lit, s("g", {}, texts), packet);
  return { svg, way, lit, packet, desc: svg.querySelector("desc") };
}

function drawWay(group, steps, now) {
  const paths = [];
  const stretch = (d, stroke, width, extra = {}) => paths.push(s("path", { d, stroke: role(stroke), "stroke-width": width, ...extra }));
  const moves = steps.map((step, n) => ({ ...step, done: n <= now })).filter((step) => step.points.length > 1);
  for (const m of moves) if (m.wrapped) {
    stretch(line(m.points), "tunnel", 12, { "stroke-opacity": m.done ? 1 : 0.4, "stroke-linecap": "butt" });
    stretch(line(m.points), "tunnelbg", 9, { "stroke-linecap": "butt" });
  }
  for (const m of moves) stretch(line(m.points), "pod", m.done ? 3.6 : 2.6, m.done ? {} : { "stroke-dasharray": "0.1 6.5" });
  group.replaceChildren(...paths);
}

function drawPacket(group, step, number, hop, animate) {
  const colour = hop.failed ? "no" : hop.layer, glyph = [];
  if (hop.failed) glyph.push(s("circle", { r: 11, fill: role("nobg"), stroke: role("no"), "stroke-width": 2.2 }), s("path", { d: "M-4.5 -4.5L4.5 4.5M-4.5 4.5L4.5 -4.5", stroke: role("no"), "stroke-width": 3, "stroke-linecap": "round" }));
  else {
    if (step.packed) glyph.push(s("rect", { x: -18, y: -12, width: 36, height: 24, rx: 5, fill: role("tunnel"), stroke: role("bg"), "stroke-width": 1.5 }));
    glyph.push(s("rect", { x: -12.5, y: -7.5, width: 25, height: 15, rx: 3, fill: role("podbg"), stroke: role("pod"), "stroke-width": 2 }), s("path", { d: "M-12 -6.5L0 1.5L12 -6.5", fill: "none", stroke: role("pod"), "stroke-width": 1.3 }));
  }
  const bx = step.packed ? 28 : 22, pill = number > 9 ? 11.5 : 9;
  if (!hop.failed) glyph.push(s("rect", { x: bx - pill, y: -9, width: 2 * pill, height: 18, rx: 9, fill: role("bg"), stroke: role(colour), "stroke-width": 2 }),
    s("text", { x: bx, y: 4, "font-size": 11, "font-weight": 700, "text-anchor": "middle", fill: role("ink") }, String(number)));
  const [x, y] = step.at;
  group.replaceChildren(...glyph);
  group.setAttribute("transform", `translate(${x} ${y})`);
  if (animate && step.points.length > 1 && group.animate && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const way = [...step.points, step.at], far = way.map((p, n) => (n ? Math.hypot(p[0] - way[n - 1][0], p[1] - way[n - 1][1]) : 0));
    const total = far.reduce((a, b) => a + b, 0) || 1;
    let sum = 0;
    const frames = way.map((p, n) => { sum += far[n]; return { transform: `translate(${p[0]}px,${p[1]}px)`, offset: Math.min(1, sum / total) }; });
    group.animate(frames, { duration: Math.min(650, 220 + total), easing: "ease-in-out" });
  }
}

function render({ model, el }) {
  const id = fresh();
  const get = (name) => model.get(name);
  const choice = (name) => () => get("choices")[name] || [];
  const draft = {};
  let scene = null, drawn = "", seen = 0;

  // -- the question
  const keep = (name) => (text) => { draft[name] = text; };
  const from = combobox(`${id}-src`, "from", get("src"), choice("sources"), keep("src"));
  const to = combobox(`${id}-dst`, "to", get("dst"), choice("targets"), (text, option) => {
    keep("dst")(text);
    const ports = option?.[2] || [], now = [port.value.trim(), protocol.value];  // a target brings a port that it serves
    if (ports.length && !ports.some((p) => String(p[0]) === now[0] && p[1] === now[1])) {
      [port.value, protocol.value] = [String(ports[0][0]), ports[0][1]];
      keep("port")(port.value);
      keep("protocol")(protocol.value);
    }
  });
  const port = h("input", { id: `${id}-port`, class: "kn-port", type: "text", autocomplete: "off", spellcheck: "false", oninput: (e) => keep("port")(e.target.value) });
  const protocol = h("select", { id: `${id}-proto`, onchange: (e) => keep("protocol")(e.target.value) }, ["TCP", "UDP", "ICMP"].map((p) => h("option", { value: p }, p)));
  const ask = h("form", { class: "kn-ask", "aria-label": "Question", onsubmit: (e) => { e.preventDefault(); send(); } }, from.box, to.box,
    h("div", { class: "kn-field" }, h("label", { for: port.id }, "port"), port), h("div", { class: "kn-field" }, h("label", { for: protocol.id }, "protocol"), protocol),
    h("button", { type: "submit", class: "kn-send" }, "Send one packet"));
  function send() {
    for (const [name, value] of Object.entries(draft)) model.set(name, name === "port" && /^\d+$/.test(value.trim()) ? parseInt(value, 10) : value.trim());
    model.set("request", get("request") + 1);
    root.setAttribute("aria-busy", "true");
    model.save_changes();
  }
  function showQuestion() {
    for (const key of Object.keys(draft)) delete draft[key];
    from.set(get("src")); to.set(get("dst"));
    port.value = String(get("port"));
    if (![...protocol.options].some((o) => o.value === get("protocol"))) protocol.append(h("option", { value: get("protocol") }, get("protocol")));
    protocol.value = get("protocol");
  }

  // -- the answer
  const verdict = h("div", { class: "kn-verdict", role: "status", "aria-live": "polite" });
  const where = h("span", {});
  const pic = h("div", { class: "kn-pic" });
  const backButton = h("button", { type: "button", onclick: () => go(-1) }, "◀ Back");
  const nextButton = h("button", { type: "button", onclick: () => go(1) }, "Next ▶");
  const replyButton = h("button", { type: "button", "aria-pressed": "false", onclick: () => turn() }, "Reply path");
  const controls = h("div", { class: "kn-ctl", role: "group", "aria-label": "Step through the hops" }, backButton, nextButton, replyButton,
    h("span", { class: "kn-keys" }, "or ", h("kbd", {}, "←"), " ", h("kbd", {}, "→"), " ", h("kbd", {}, "Home"), " ", h("kbd", {}, "End"), " · ", h("kbd", {}, "R"), " reply"));
  const say = h("div", { class: "kn-say" });
  const listTitle = h("span", {});
  const list = h("ol", { class: "kn-hops", "aria-labelledby": `${id}-hops` });
  const size = h("span", {});
  const stack = h("div", { class: "kn-stack", role: "list", "aria-labelledby": `${id}-packet` });
  const live = h("div", { class: "kn-hidden", "aria-live": "polite", role: "status" });
  const panel = (key, title, extra, ...kids) => h("div", { class: "kn-panel", role: "group", "aria-labelledby": `${id}-${key}` }, h("div", { class: "kn-h" }, h("span", { id: `${id}-${key}` }, title), extra), kids);
  const left = panel("pic", "Where the packet is", where, pic, controls, say);
  const packetPanel = panel("packet", "The packet now", size, stack);
  const root = h("div", { class: "kn-tracer", role: "region", "aria-label": "Packet tracer", "data-lm-suppress-shortcuts": "true", onkeydown: keys }, ask, verdict,
    h("div", { class: "kn-grid" }, left, panel("hops", "Hop by hop", listTitle, list)), packetPanel, live);

  const way = () => get("view").hops?.[get("direction")] || [];
  const at = () => Math.max(1, Math.min(get("hop"), way().length || 1)) - 1;

  function move(n) {
    const last = way().length - 1;
    if (last < 0) return;
    model.set("hop", Math.max(0, Math.min(n, last)) + 1);
    model.save_changes();
  }
  const go = (by) => move(at() + by);
  function turn() {
    if (!get("view").hops?.reply?.length) return;
    model.set("direction", get("direction") === "forward" ? "reply" : "forward");
    model.set("hop", 1);
    model.save_changes();
  }
  function keys(e) {
    e.stopPropagation();
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea")) return;
    const inList = list.contains(e.target);
    const act = { ArrowRight: () => go(1), ArrowLeft: () => go(-1), Home: () => move(0), End: () => move(way().length - 1), r: turn, R: turn, ...(inList ? { ArrowDown: () => go(1), ArrowUp: () => go(-1) } : {}) }[e.key];
    if (!act) return;
    e.preventDefault();
    act();
    if (inList) list.querySelector("[aria-current]")?.focus();
  }

  function showVerdict() {
    const v = get("view");
    verdict.className = `kn-verdict ${v.ok ? "kn-ok" : ""}`;
    verdict.replaceChildren(h("b", {}, `${v.symbol} ${v.verdict}`), ` ${v.head}`, v.tail ? h("span", {}, ` · ${v.tail}`) : "",
      ...(v.reasons || []).map((text) => h("div", {}, text)), ...(v.assumptions || []).map((text) => h("div", {}, h("span", {}, `assumed: ${text}`))));
  }

  function showList() {
    const hops = way(), rows = [];
    let stage = "";
    hops.forEach((hop, n) => {
      if (hop.stage && hop.stage !== stage) rows.push(h("li", { class: "kn-stage" }, (stage = hop.stage)));
      rows.push(h("li", {}, h("button", { type: "button", "data-n": n, tabindex: "-1", style: colours(hop.failed ? "policy" : hop.layer), onclick: () => move(n) },
        h("span", { class: "kn-n" }, hop.failed ? "✗" : String(hop.number)), h("span", {}, hop.title, hop.entry ? h("small", {}, h("span", { class: "kn-brief" }, hop.brief), h("span", { class: "kn-full" }, hop.entry)) : null))));
    });
    list.replaceChildren(...rows);
    if (!hops.length) list.replaceChildren(h("li", { class: "kn-none" }, "No packet was sent."));
    const reply = get("direction") === "reply";
    listTitle.textContent = hops.length ? (reply ? "the way back" : "the way there") : "";
    replyButton.setAttribute("aria-pressed", String(reply));
    replyButton.setAttribute("aria-disabled", String(!get("view").hops?.reply?.length));
  }

  function showPicture() {
    const v = get("view"), kind = pic.clientWidth && pic.clientWidth < 500 ? "narrow" : "wide";
    if (!v.pictures) return;
    drawn = kind;
    scene = drawScene(v.pictures[kind], `${id}-${kind}`, "The cluster and the packet's way", v.description);
    pic.replaceChildren(scene.svg);
  }

  function showHop(animate) {
    const v = get("view"), hops = way(), n = at(), hop = hops[n], reply = get("direction") === "reply";
    backButton.setAttribute("aria-disabled", String(!hop || n === 0));
    nextButton.setAttribute("aria-disabled", String(!hop || n === hops.length - 1));
    for (const button of list.querySelectorAll("button")) {
      const now = Number(button.dataset.n) === n;
      button.tabIndex = now ? 0 : -1;
      if (now) button.setAttribute("aria-current", "step"); else button.removeAttribute("aria-current");
    }
    where.textContent = hop ? `hop ${n + 1} of ${hops.length} · ${reply ? "reply" : "forward"}` : "";
    packetPanel.hidden = !hop;
    if (!hop) {
      say.replaceChildren(h("p", {}, "Change the question and send again."));
      live.textContent = "";
      return;
    }
    const picture = v.pictures[drawn || "wide"], steps = picture.steps[reply ? "reply" : "forward"], step = steps[n];
    if (scene && step) {
      drawWay(scene.way, steps, n);
      const place = picture.places[step.place];
      scene.lit.replaceChildren(...(place ? [s("rect", { x: place[0], y: place[1], width: place[2], height: place[3], rx: place[4], stroke: role(hop.failed ? "no" : hop.layer), "stroke-width": 2.8 })] : []));
      drawPacket(scene.packet, step, hop.number, hop, animate);
      scene.desc.textContent = `${v.description} The packet is at ${hop.where}, hop ${n + 1} of ${hops.length}.`;
    }
    const copy = h("button", { type: "button", "aria-label": "Copy the command", onclick: () => copyText(hop.command, copy) }, "Copy");
    say.replaceChildren(...[
      h("p", { class: `kn-t ${hop.failed ? "kn-bad" : ""}` }, `${hop.failed ? "✗" : hop.number + "."} ${hop.title}`),
      h("p", {}, hop.sentence),
      hop.entry ? h("div", { class: "kn-row" }, h("span", {}, "What decided:"), h("code", {}, hop.entry), hop.origin ? h("span", {}, hop.origin) : null) : null,
      hop.command ? h("div", { class: "kn-row" }, h("span", {}, "On a real node:"), h("code", {}, hop.command), copy) : null,
      hop.details.length ? h("details", {}, h("summary", {}, `Smaller steps (${hop.details.length})`), h("ul", { class: "kn-small" }, hop.details.map(([title, entry]) => h("li", {}, title, entry ? [" ", h("code", {}, entry)] : null)))) : null,
      hop.evidence ? h("p", { class: "kn-ev" }, `Evidence: ${hop.evidence}`) : null,
    ].filter(Boolean));
    const p = hop.headers;
    size.textContent = p.stack.length ? [`${p.total} bytes`, p.new && `${p.new} of them new`, p.gone && `${p.gone} taken off`, p.note].filter(Boolean).join(", ") : "";
    const groups = [];  // a packet inside another is a group of its own
    for (const card of p.stack) (groups[card.depth] ||= []).push(headerCard(card));
    stack.replaceChildren(...groups.filter(Boolean).map((cards) => h("div", { class: "kn-group", role: "presentation" }, cards)));
    live.textContent = animate ? `Hop ${n + 1} of ${hops.length}: ${hop.failed ? "the packet ends here. " : ""}${hop.title}` : "";
    seen = n;
  }

  async function copyText(text, button) {
    try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { button.textContent = "Copy it by hand"; }
    live.textContent = button.textContent;
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  }

  function showAll() { root.removeAttribute("aria-busy"); showQuestion(); showVerdict(); showPicture(); showList(); showHop(false); }
  const onHop = () => showHop(Math.abs(at() - seen) === 1);
  const onWay = () => { showList(); showHop(false); };
  model.on("change:view", showAll);
  model.on("change:hop", onHop);
  model.on("change:direction", onWay);
  model.on("change:src change:dst change:port change:protocol", showQuestion);
  el.append(root);
  showAll();
  const watch = new ResizeObserver(() => { const kind = pic.clientWidth < 500 ? "narrow" : "wide"; if (pic.clientWidth && kind !== drawn) { showPicture(); showHop(false); } });
  watch.observe(pic);
  return () => {
    watch.disconnect();
    model.off("change:view", showAll);
    model.off("change:hop", onHop);
    model.off("change:direction", onWay);
    model.off("change:src change:dst change:port change:protocol", showQuestion);
  };
}

export default { render };
