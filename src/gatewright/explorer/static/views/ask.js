// Ask: hold a gate or take a unit away, and see the predictions and the continuation beside the original's.

import { answerCurves } from "../answer_curves.js";
import { latest, post } from "../api.js";
import { h, short } from "../dom.js";
import { percent, select, shown, symbol, trouble } from "../pieces.js";
import { strip } from "../sequence.js";
import { goTo, named, state } from "../store.js";

export const view = {
  id: "ask",
  title: "Ask",
  lead: "What if a gate stayed open, or a unit were not there? See the answer beside the original.",
  sequence: true,
};

let curves = null;
let tokens, rules, results, list, answer, steps, detail;

view.mount = (root) => {
  rules = [fresh()];
  list = h("ol", { class: "rules" });
  results = h("div", { class: "results" });
  tokens = strip();
  root.append(
    tokens,
    h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); ask(); } },
      h("h2", {}, "Change the cell"),
      h("div", { class: "presets", role: "group", "aria-label": "Questions" }),
      list,
      h("div", { class: "controls last" },
        h("button", { type: "button", class: "quiet", onclick: () => (rules.push(fresh()), paintRules()) }, "+ Another change"),
        h("button", { type: "submit", class: "primary" }, "Ask"))),
    results);
};

view.show = () => {
  tokens.paint(true);
  paintRules();
  if (!answer || answer.run !== state.run?.run) nothingYet();
};

view.update = (changed) => {
  if (changed.has("layer")) { rules = [fresh()]; paintRules(); }
  if (changed.has("run") || changed.has("layer")) { answer = null; tokens.paint(true); nothingYet(); paintRules(); }
  else if (changed.has("t") || changed.has("unit")) {
    tokens.paint();
    paintPresets();
    if (answer && changed.has("t")) paintStep();
  }
};

view.repaint = () => curves?.repaint();

const changeable = () => state.layer.names;
/** The gate that keeps the state; any gate where the story tells of none. */
const keeper = () => named(state.layer.story?.find((part) => part.key === "forget")?.names.at(-1))
  ?? state.layer.names.find((entry) => entry.kind === "gate") ?? state.layer.names[0];

const fresh = () => ({ name: keeper().name, value: "0", number: 0.5, units: "", from: "", to: "" });

/** Ready questions, from what the layer has. */
function presets() {
  const { layer, t, unit } = state;
  const gate = keeper();
  const token = state.run?.tokens?.[t];
  const at = token ? `“${shown(token)}”` : `step ${t + 1}`;
  const one = unit === "mean" ? 0 : unit;
  const out = layer.states;
  return [
    [`${gate.symbol} always open`, [{ ...fresh(), value: "1" }]],
    [`${gate.symbol} always closed`, [{ ...fresh(), value: "0" }]],
    [`Close ${gate.symbol} at ${at}`, [{ ...fresh(), value: "0", from: String(t + 1), to: String(t + 1) }]],
    [`Without unit ${one}`, out.map((name) => ({ ...fresh(), name, value: "0", units: String(one) }))],
  ];
}

function paintPresets() {
  const group = view.root.querySelector(".presets");
  group.replaceChildren(...presets().map(([text, wanted]) =>
    h("button", { type: "button", class: "example", onclick: () => { rules = wanted; paintRules(); ask(); } }, text)));
}

function paintRules() {
  if (!state.run) return;
  paintPresets();
  list.replaceChildren(...rules.map(ruleLine));
}

function ruleLine(rule, k) {
  const isGate = named(rule.name)?.kind === "gate";
  const values = isGate
    ? [["1", "open: 1"], ["0", "closed: 0"], ["mean", "its mean"], ["number", "a number …"]]
    : [["0", "taken away: 0"], ["mean", "its mean"], ["number", "a number …"]];
  if (!values.some(([v]) => v === rule.value)) rule.value = values[0][0];
  const text = (key, label, hint, wide = 74) => h("input", {
    type: "text", inputmode: "numeric", value: rule[key], placeholder: hint, "aria-label": label, style: { width: `${wide}px` },
    oninput: (event) => (rule[key] = event.target.value),
  });
  return h("li", {},
    h("span", {}, "Hold"),
    select("Value", changeable().map((entry) => [entry.name, `${entry.symbol}  ${entry.kind}`]), rule.name, (name) => { rule.name = name; paintRules(); }),
    h("span", {}, "at"),
    select("Held at", values, rule.value, (value) => { rule.value = value; paintRules(); }),
    rule.value === "number" ? text("number", "The number", "0.5") : null,
    h("span", {}, "in units"), text("units", "Units, such as 3, 7-9", "all", 92),
    h("span", {}, "at steps"), text("from", "From step", "first"), h("span", {}, "to"), text("to", "To step", "last"),
    rules.length > 1
      ? h("button", { type: "button", class: "icon", "aria-label": `Remove change ${k + 1}`, onclick: () => { rules.splice(k, 1); paintRules(); } }, "✕")
      : null);
}

/** "3, 7-9" as [3, 7, 8, 9]; null for all. */
export function unitsIn(text, width) {
  if (!text.trim()) return null;
  const found = text.split(",").flatMap((piece) => {
    const range = piece.trim().match(/^(\d+)(?:\s*[-–…]\s*(\d+))?$/);
    if (!range) throw new Error(`“${piece.trim()}” is no unit. Write numbers such as 3, 7-9.`);
    const [from, to] = [Number(range[1]), Number(range[2] ?? range[1])];
    if (to >= width || from > to) throw new Error(`Units go from 0 to ${width - 1}; “${piece.trim()}” does not fit.`);
    return Array.from({ length: to - from + 1 }, (_, k) => from + k);
  });
  return [...new Set(found)];
}

function stepIn(text, otherwise) {
  if (!text.trim()) return otherwise;
  if (!/^\d+$/.test(text.trim()) || Number(text) < 1) throw new Error(`“${text}” is no step. Steps are counted from 1.`);
  return Number(text);
}

function clampOf(rule) {
  const value = rule.value === "mean" ? null : rule.value === "number" ? Number(rule.number) : Number(rule.value);
  if (Number.isNaN(value)) throw new Error(`“${rule.number}” is no number.`);
  const from = stepIn(rule.from, null);
  return { name: rule.name, layer: state.layer.id, value, units: unitsIn(rule.units, state.layer.width), from: from && from - 1, to: stepIn(rule.to, null) };
}

const send = latest((signal, body) => post("/api/ask", body, signal));

async function ask() {
  results.setAttribute("aria-busy", "true");
  try {
    const clamps = rules.map(clampOf);
    const given = await send({ text: state.text, clamps });
    if (!given) return; // another question was asked meanwhile
    answer = { ...given, run: state.run.run };
    paintAnswer();
  } catch (problem) {
    results.replaceChildren(trouble(problem));
  } finally {
    results.removeAttribute("aria-busy");
  }
}

// -- the answer -------------------------------------------------------------------------------------

const nothingYet = () =>
  results.replaceChildren(h("p", { class: "empty" }, "Choose a question above, or make one. The answer appears here, step by step."));

function paintAnswer() {
  curves = null;
  if (!answer.tokens || !answer.plain.predictions) {
    curves = answerCurves(answer);
    return results.replaceChildren(...curves.cards, h("div", { class: "card" }, held()));
  }
  const most = answer.difference.reduce((best, d, t) => (d > answer.difference[best] ? t : best), 0);
  steps = h("div", { class: "steps", role: "group", "aria-label": "How much the prediction changes at each step" },
    answer.tokens.map((token, t) => h("button", {
      type: "button", class: "column", title: `${shown(token)}: ${percent(answer.difference[t])} of the prediction changes`, onclick: () => goTo(t),
    }, h("span", { class: "tube" }, h("span", { style: { height: `${100 * answer.difference[t]}%` } })),
    h("span", {}, shown(token)))));
  detail = h("div", { class: "card" });
  results.replaceChildren(
    h("div", { class: "card" },
      h("h2", {}, summary(most)),
      h("p", { class: "quiet" }, "How much of the prediction moves elsewhere at each step (total variation). Choose a step."),
      steps),
    h("div", { class: "pair" }, detail, continuation()));
  if (state.t === most) paintStep();
  else goTo(most);
}

function summary(most) {
  const d = answer.difference[most];
  if (d < 0.005) return "Nothing changes: the model does not need it here.";
  const size = d < 0.1 ? "A little changes" : d < 0.5 ? "Some of it changes" : "Much changes";
  return `${size}, most after “${shown(answer.tokens[most])}”: ${percent(d)} of the prediction.`;
}

function paintStep() {
  if (curves) return curves.paint();
  const t = Math.min(state.t, answer.tokens.length - 1);
  [...steps.children].forEach((column, k) => column.setAttribute("aria-pressed", k === t));
  const [before, after] = [answer.plain.predictions[t], answer.changed.predictions[t]];
  const find = (side, token) => side.find((entry) => entry.token === token)?.p;
  const words = [...new Set([...before, ...after].map((entry) => entry.token))]
    .map((token) => ({ token, before: find(before, token), after: find(after, token) }))
    .sort((a, b) => Math.max(b.before ?? 0, b.after ?? 0) - Math.max(a.before ?? 0, a.after ?? 0))
    .slice(0, 8);
  const bar = (kind, p) => h("span", { class: "track" }, h("span", { class: `fill ${kind}`, style: { width: `${100 * (p ?? 0)}%` } }));
  detail.replaceChildren(
    h("h2", {}, "After “", shown(answer.tokens[t]), "”"),
    h("p", { class: "key two" }, h("span", { class: "was" }, "original"), h("span", { class: "is" }, "changed")),
    h("ol", { class: "bars double" }, words.map(({ token, before: p, after: q }) =>
      h("li", { class: token === answer.tokens[t + 1] ? "came" : "" },
        h("span", { class: "word" }, shown(token)),
        h("span", {}, bar("was", p), bar("is", q)),
        h("span", { class: "share" }, h("span", {}, percent(p ?? 0)), h("b", {}, percent(q ?? 0)))))));
}

function continuation() {
  const [plain, changed] = [answer.plain.continuation, answer.changed.continuation];
  const joint = state.model.input.unit === "word" ? " " : "";
  const split = (text) => (joint ? text.split(/\s+/).filter(Boolean) : [...text]);
  const [a, b] = [split(plain), split(changed)];
  const line = (own, other) => own.length === 0 ? h("span", { class: "quiet" }, "nothing more: the text ends here") : own.map((word, k) => [word === other[k] ? word : h("mark", {}, word), joint]);
  return h("div", { class: "card continued" },
    h("h2", {}, "And then it goes on"),
    h("h3", { class: "was" }, "original"), h("p", {}, h("span", { class: "quiet" }, "… "), line(a, b)),
    h("h3", { class: "is" }, "changed"), h("p", {}, h("span", { class: "quiet" }, "… "), line(b, a)),
    held());
}

const held = () => h("p", { class: "quiet small held" }, "Held: ",
  rules.map((rule, k) => [k ? "; " : "", symbol(rule.name), ` at ${rule.value === "number" ? short(Number(rule.number)) : rule.value === "mean" ? "its mean" : rule.value}`,
    rule.units ? `, units ${rule.units}` : "", rule.from || rule.to ? `, steps ${rule.from || 1} to ${rule.to || "the last"}` : ""]));
