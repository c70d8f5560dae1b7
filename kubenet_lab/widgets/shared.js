// What all widgets share: it stands before each of them. Text goes in as text only, never as HTML.
const NS = "http://www.w3.org/2000/svg";
let instances = 0;
const fresh = () => `kn${++instances}-${Math.random().toString(36).slice(2, 8)}`;

function put(node, kids) {
  for (const kid of kids.flat(9)) if (kid !== null && kid !== undefined && kid !== false) node.append(kid);
  return node;
}

/** h("button", {class: "x", onclick: f, "aria-label": "y"}, "text", child) */
function h(tag, props = {}, ...kids) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  return put(node, kids);
}

function s(tag, attrs = {}, ...kids) {
  const node = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attrs)) if (value !== "" && value !== null && value !== undefined) node.setAttribute(key, value);
  return put(node, kids);
}

// a plain key on a control is the control's own: the notebook around it would move to another cell
const ownKeys = (e) => { if (e.target.matches("input, select, textarea, pre") && !e.ctrlKey && !e.metaKey && !e.altKey) e.stopPropagation(); };

const role = (name) => `var(--kn-${name})`;
const colours = (layer) => `--c:${role(layer)};--cb:${role(layer + "bg")}`;

function headerCard(card) {
  const tag = card.mark ? h("span", { class: "kn-tag" }, card.mark === "new" ? "new" : "taken off") : null;
  const fields = card.fields.map(([name, value, was]) => h("div", { class: "kn-f" }, h("i", {}, name + " "), was === undefined ? value : h("span", { class: "kn-chg" }, `${was} → ${value}`)));
  return h("div", { class: `kn-hd ${card.mark ? "kn-" + card.mark : ""}`, style: colours(card.layer), role: "listitem" },
    h("div", { class: "kn-hn" }, h("span", {}, card.name, tag), h("i", {}, `${card.size} B`)), fields);
}
