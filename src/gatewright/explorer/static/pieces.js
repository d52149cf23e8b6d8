// Small pieces that several views share: symbols, swatches, prediction bars, choices, notes.

import { h, short } from "./dom.js";
import { colourOf, css, gradient, inkOn, scale } from "./colour.js";
import { named, state } from "./store.js";

export const symbol = (name) => h("i", { class: "symbol" }, named(name)?.symbol ?? name);

const TITLES = { gate: "gate", candidate: "candidate", state: "state", other: "value" };
export const kindOf = (entry) => TITLES[entry.kind] ?? "value";

/** A value with its colour: a chip that says `fₜ 0.93`. */
export function chip(name, value, text = null) {
  const colour = colourOf(value, scale(named(name)));
  return h(
    "span",
    { class: "chip" },
    text ? h("i", { class: "symbol" }, text) : symbol(name),
    h("b", { style: { background: css(colour), color: inkOn(colour) } }, short(value)),
  );
}

/** What the colours of a name mean. */
export function legend(entry, its = scale(entry)) {
  const [least, most] = entry.range ? ["", ""] : ["≤ ", "≥ "];
  return h(
    "span",
    { class: "legend" },
    h("span", {}, entry.kind === "gate" ? "closed 0" : least + short(its.lo)),
    h("span", { class: "ramp", style: { background: gradient(its) } }),
    h("span", {}, entry.kind === "gate" ? "1 open" : most + short(its.hi)),
  );
}

/** A token so that blanks can be seen. */
export const shown = (token) =>
  ({ " ": "␣", "\n": "↵", "\t": "⇥", "": "∅" })[token] ?? token.replaceAll("\n", "↵").replaceAll("\t", "⇥");

/** The next tokens by probability. `actual` is the one that came. */
export function predictionBars(prediction, actual, rows = 8) {
  const list = prediction.slice(0, rows);
  const missing = actual && !list.some((entry) => entry.token === actual.token);
  const bar = (entry, came, note = "") =>
    h(
      "li",
      { class: came ? "came" : "" },
      h("span", { class: "word" }, shown(entry.token)),
      h("span", { class: "track" }, h("span", { class: "fill", style: { width: `${100 * entry.p}%` } })),
      h("span", { class: "share" }, percent(entry.p)),
      came ? h("span", { class: "note" }, `came next${note}`) : null,
    );
  return h(
    "ol",
    { class: "bars" },
    list.map((entry) => bar(entry, entry.token === actual?.token)),
    missing ? bar(actual, true, actual.rank ? `, ranked ${actual.rank}` : "") : null,
  );
}

export function percent(p) {
  if (p === null || p === undefined) return "–";
  return p > 0 && p < 0.005 ? "<1 %" : `${Math.round(100 * p)} %`;
}

/** A row of choices of which one is taken: `[[value, label], …]`. */
export function choice(label, entries, value, chosen) {
  const group = h("span", { class: "choice", role: "radiogroup", "aria-label": label });
  const paint = (now) => {
    for (const button of group.children) {
      const on = button.dataset.value === String(now);
      button.setAttribute("aria-checked", on);
      button.tabIndex = on ? 0 : -1;
    }
  };
  for (const [v, text] of entries) {
    group.append(h("button", {
      type: "button", role: "radio", "data-value": v,
      onclick: () => { paint(v); chosen(v); },
    }, text));
  }
  group.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const all = [...group.children];
    const next = all[(all.indexOf(document.activeElement) + by + all.length) % all.length];
    next.focus();
    next.click();
  });
  paint(value);
  group.paint = paint;
  return group;
}

export function select(label, entries, value, chosen) {
  const list = h("select", { "aria-label": label, onchange: () => chosen(list.value) },
    entries.map(([v, text]) => h("option", { value: v, selected: v === value }, text)));
  return list;
}

export const field = (label, control) => h("label", { class: "field" }, h("span", {}, label), control);

/** Which unit is looked at: the layer's average, or one. */
export function unitPicker(move, set, all = "Average") {
  const input = h("input", {
    type: "number", min: 0, class: "unit", "aria-label": "Unit", placeholder: "–",
    onchange: () => set(input.value === "" ? "mean" : Number(input.value)),
  });
  const mean = h("button", { type: "button", class: "quiet", onclick: () => set("mean") }, all);
  const box = h("span", { class: "units" }, mean,
    h("span", { class: "stepper" },
      h("button", { type: "button", class: "quiet", "aria-label": "Previous unit", title: "Previous unit  [", onclick: () => move(-1) }, "‹"),
      h("span", { class: "of" }, "unit ", input),
      h("button", { type: "button", class: "quiet", "aria-label": "Next unit", title: "Next unit  ]", onclick: () => move(1) }, "›")));
  box.paint = () => {
    input.value = state.unit === "mean" ? "" : state.unit;
    input.max = (state.layer?.width ?? 1) - 1;
    mean.setAttribute("aria-pressed", state.unit === "mean");
  };
  box.paint();
  return box;
}

/** What went wrong and what to do about it, inside a view. */
export const trouble = (problem) =>
  h("p", { class: "trouble", role: "alert" }, h("strong", {}, problem.message), problem.remedy ? ` ${problem.remedy}` : "");
