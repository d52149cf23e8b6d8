// Look: every gate over the whole sequence, on one axis of time; a unit's history; where a unit is on.

import { get, latest, numbers, post } from "../api.js";
import { lineChart, ticks } from "../chart.js";
import { css, inkOn, theme } from "../colour.js";
import { debounced, h, short } from "../dom.js";
import { colourFor, heatMap } from "../heat.js";
import { choice, field, select, shown, trouble, unitPicker } from "../pieces.js";
import { run, strip } from "../sequence.js";
import { chooseUnit, clamp, goTo, moveUnit, named, placeOf, set, state, tokenAt } from "../store.js";

export const view = {
  id: "look",
  title: "Look",
  lead: "Every gate of every unit over time. Click a row to follow a unit; drag to look closer.",
  sequence: true,
};

const SORTS = [["none", "as they are"], ["horizon", "memory horizon"], ["mean", "mean"], ["first", "first step"]];
const NARROWEST = 4; // steps
let app, tokens, units, maps, sort, axis, readout, where, unitCard, history, findCard, warnings, layers;
let measured = null;
let traced = null; // the colours of the chosen unit's state, under the tokens

view.mount = (root, given) => {
  app = given;
  sort = "none";
  tokens = strip({ tint: (t) => traced?.[t] });
  units = unitPicker(moveUnit, chooseUnit, "None");
  layers = h("span");
  readout = h("output", { class: "readout", "aria-live": "polite" });
  where = h("span", { class: "where" });
  axis = h("canvas", { class: "times", "aria-hidden": "true" });
  maps = h("div", { class: "maps" });
  warnings = h("ul", { class: "warnings" });
  unitCard = h("section", { class: "card", "aria-label": "The unit" });
  findCard = h("section", { class: "card find", "aria-label": "Find" });
  history = lineChart({ title: "Over time", x: "step", y: "value", height: 240, onpick: (step) => goTo(step - 1) });
  const zoomer = (label, sign, by) => h("button", { type: "button", class: "quiet", "aria-label": label, title: label, onclick: by }, sign);
  root.append(
    tokens,
    h("div", { class: "controls" }, layers,
      field("Order units by", choice("Order units by", SORTS, sort, (value) => { sort = value; load(); })),
      h("span", { class: "transport" },
        zoomer("Zoom in  +", "+", () => zoom(0.5)), zoomer("Zoom out  −", "−", () => zoom(2)), zoomer("Whole sequence  0", "Whole", whole)),
      units),
    h("div", { class: "card looked" }, maps, h("div", { class: "heat" }, h("div", { class: "side" }, where), axis), readout),
    warnings,
    h("div", { class: "pair" }, unitCard, findCard));
  new ResizeObserver(debounced(() => view.root.hidden || load(), 120)).observe(maps);
};

view.show = async () => {
  if (state.run) await begin();
};

view.update = async (changed) => {
  if (changed.has("run") || changed.has("layer")) return begin();
  if (changed.has("window")) {
    for (const map of maps.children) map.stretch(state.window);
    paintAxis();
    soon();
  }
  if (changed.has("t")) keepInSight();
  paintMarks();
  if (changed.has("unit")) await paintUnit();
};

view.repaint = () => {
  for (const map of maps.children) map.repaint();
  paintAxis();
  paintMarks();
  history.repaint();
};

view.keys = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: whole };

async function begin() {
  const { layer, model } = state;
  layers.replaceChildren(...(model.layers.length < 2 ? [] : [field("Layer", select("Layer",
    model.layers.map((entry) => [entry.id, entry.title]), layer.id,
    (id) => set({ layer: model.layers.find((entry) => entry.id === id), unit: "mean" })))]));
  maps.replaceChildren(...layer.names.map((entry) => heatMap(entry, { onpick: pick, ondrag: drag, onwheel: wheel, onhover: hover })));
  maps.style.setProperty("--tall", `${clamp(layer.width * 3, 66, 120)}px`);
  measured = null;
  tokens.paint(true);
  await load();
  await measure();
  await paintUnit();
}

// -- the heat maps --------------------------------------------------------------------------------

const ask = latest((signal) => {
  const { run: now, layer, window } = state;
  const plane = maps.firstChild.plane;
  const size = { width: Math.max(plane.clientWidth, 64), height: Math.max(plane.clientHeight, 32) };
  return Promise.all(layer.names.map(({ name }) =>
    get(`/api/run/${now.run}/heat`, { layer: layer.id, name, from: window[0], to: window[1], sort, ...size }, signal)));
});

async function load() {
  if (!state.run || !maps.firstChild?.plane.clientWidth) return;
  try {
    const answers = await ask();
    if (!answers) return; // a newer window was asked for
    answers.forEach((answer, k) => {
      const matrix = numbers(answer.matrix);
      const rows = answer.rows ?? answer.order?.map((unit) => [unit]) ?? Array.from({ length: matrix.shape[0] }, (_, r) => [r]);
      maps.children[k]?.show({ ...answer, matrix, rows }, state.window);
    });
    paintAxis();
    paintMarks();
    view.root.dataset.drawn = `${state.window}`;
  } catch (problem) {
    app.report(problem);
  }
}

const soon = debounced(load, 70);

function paintMarks(range = null) {
  tokens.paint();
  units.paint();
  const { t, unit } = state;
  for (const map of maps.children) map.mark({ t, unit: unit === "mean" ? undefined : unit, range });
  history.cursor(t + 1);
  if (state.run && !range) say(unit === "mean" ? null : unit, t);
}

/** The values of a unit at a step, in words. */
function say(unit, t) {
  const step = placeOf(t);
  if (unit === null || unit === undefined) return void (readout.textContent = `${step} – choose a unit to read its values`);
  const values = [...maps.children].map((map, k) => [state.layer.names[k].symbol, map.valueAt(unit, t)]).filter(([, v]) => v !== undefined);
  readout.textContent = `unit ${unit}, ${step}: ${values.map(([name, v]) => `${name} ${short(v)}`).join(", ")}`;
}

function hover(map, unit, t) {
  if (unit === undefined) return paintMarks();
  say(unit, clamp(t, 0, state.run.T - 1));
}

function pick(unit, t) {
  set({ unit: unit ?? "mean", t: clamp(t, 0, state.run.T - 1) });
}

// -- the window -----------------------------------------------------------------------------------

function lookAt(from, to) {
  const T = state.run.T;
  const wide = clamp(Math.round(to - from), Math.min(NARROWEST, T), T);
  const start = clamp(Math.round(from), 0, T - wide);
  set({ window: [start, start + wide] });
}

function zoom(by, around = state.t + 0.5) {
  const [from, to] = state.window;
  const at = clamp(around, from, to);
  lookAt(at - (at - from) * by, at + (to - at) * by);
}

function whole() {
  lookAt(0, state.run.T);
}

function drag(range, done) {
  if (!range || !done) return paintMarks(range);
  lookAt(Math.floor(range[0]), Math.ceil(range[1]));
}

function wheel(event, at) {
  const [from, to] = state.window;
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, at);
  } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
    event.preventDefault();
    const by = ((event.deltaX || event.deltaY) / 400) * (to - from);
    lookAt(from + by, to + by);
  }
}

/** The step stays in the window when keys move it. */
function keepInSight() {
  const [from, to] = state.window;
  if (state.t >= from && state.t < to) return;
  const wide = to - from;
  lookAt(state.t - wide / 2, state.t + wide / 2);
}

/** Tokens where there is room for them, else numbers of steps. */
function paintAxis() {
  const [from, to] = state.window;
  const [wide, tall] = [axis.clientWidth, axis.clientHeight];
  if (!wide || !state.run) return;
  const ratio = devicePixelRatio || 1;
  [axis.width, axis.height] = [wide * ratio, tall * ratio];
  const brush = axis.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.fillStyle = style.getPropertyValue("--quiet");
  brush.font = "13px system-ui, sans-serif";
  where.textContent = `steps ${from + 1}–${to}`;
  const each = wide / (to - from);
  if (state.run.tokens && each >= 17) {
    const level = each > 64;
    for (let t = from; t < to; t++) {
      brush.save();
      brush.translate((t - from + 0.5) * each, level ? 16 : 8);
      if (!level) brush.rotate(-Math.PI / 3.2);
      brush.textAlign = level ? "center" : "right";
      brush.textBaseline = "middle";
      brush.fillText(shown(tokenAt(t)).slice(0, 12), 0, 0);
      brush.restore();
    }
    return;
  }
  brush.textAlign = "center";
  for (const t of ticks(from, to - 1, wide < 500 ? 4 : 9, false, true)) brush.fillText(String(t + 1), clamp((t - from + 0.5) * each, 10, wide - 16), 18);
}

// -- a unit ---------------------------------------------------------------------------------------

async function measure() {
  const given = await get(`/api/run/${state.run.run}/measures`, { layer: state.layer.id }).catch((problem) => app.report(problem));
  measured = given ?? null;
  warnings.replaceChildren(...(given?.warnings ?? []).map((text) => h("li", {}, text)));
}

const askUnit = latest((signal, unit) => {
  const names = state.layer.names.map((entry) => entry.name).join(",");
  return get(`/api/run/${state.run.run}/unit`, { layer: state.layer.id, unit, names, width: 900 }, signal);
});

async function paintUnit() {
  const { unit } = state;
  traced = null;
  if (unit === "mean") {
    unitCard.replaceChildren(h("h2", {}, "A unit’s history"),
      h("p", { class: "quiet" }, "Click a row of a heat map, or press ], to follow one unit through the sequence."));
    findCard.replaceChildren(h("h2", {}, "Where is it on?"), h("p", { class: "quiet" }, "With a unit chosen, find the sequences in which it is on."));
    return;
  }
  const answer = await askUnit(unit);
  if (!answer || state.unit !== unit) return;
  const { names } = answer;
  const series = Object.entries(names).map(([name, bins]) => ({
    name: named(name)?.symbol ?? name,
    points: bins.t.map((t, k) => [t + 1, bins.mean[k]]),
    band: bins.t.length < state.run.T ? bins.t.map((t, k) => [t + 1, bins.lo[k], bins.hi[k]]) : null,
  }));
  trace(names);
  unitCard.replaceChildren(h("h2", {}, `Unit ${unit}`), h("p", { class: "quiet" }, describe(unit)), history);
  history.show(series);
  history.cursor(state.t + 1);
  paintFind(unit);
}

/** Tokens are underlined in the colour of the unit's state, where every step has a value of its own. */
function trace(names) {
  const belt = state.layer.story?.find((part) => part.key === "update")?.names[0];
  const entry = named(belt) ?? state.layer.names.find(({ kind }) => kind === "state");
  const bins = names[entry?.name];
  traced = bins?.t.length === state.run.T ? bins.mean.map((value) => css(colourFor(entry, value))) : null;
  tokens.paint();
}

/** The measures of a unit in a sentence. */
function describe(unit) {
  if (!measured) return "";
  const said = [];
  const horizon = numbers(measured.horizon)?.data[unit];
  if (measured.horizon) said.push(Number.isFinite(horizon) ? `Half of what it stores is gone after ${short(horizon)} steps.` : "It forgets nothing.");
  for (const [name, { low, high }] of Object.entries(measured.saturation ?? {})) {
    const [closed, open] = [numbers(low)?.data[unit], numbers(high)?.data[unit]];
    if (open > 0.5) said.push(`${named(name)?.symbol ?? name} is open (above 0.9) in ${Math.round(100 * open)} % of the steps.`);
    if (closed > 0.5) said.push(`${named(name)?.symbol ?? name} is closed (below 0.1) in ${Math.round(100 * closed)} % of the steps.`);
  }
  return said.join(" ");
}

// -- find -----------------------------------------------------------------------------------------

const looking = { name: null, above: 0.5 };

function paintFind(unit) {
  const { names } = state.layer;
  looking.name = named(looking.name)?.name ?? (names.find((entry) => entry.kind === "state") ?? names[0]).name;
  const results = h("div", { class: "hits" });
  const level = h("output", {}, short(looking.above));
  const slider = h("input", {
    type: "range", min: -1, max: 1, step: 0.05, value: looking.above, "aria-label": "Above",
    oninput: () => (level.textContent = short((looking.above = Number(slider.value)))),
  });
  findCard.replaceChildren(
    h("h2", {}, `Where is unit ${unit} on?`),
    h("form", { class: "finder", onsubmit: (event) => { event.preventDefault(); find(unit, results); } },
      field("Value", select("Value", names.map((entry) => [entry.name, entry.symbol]), looking.name, (name) => (looking.name = name))),
      h("label", { class: "field grow" }, h("span", {}, "above "), slider, level),
      h("button", { type: "submit", class: "primary" }, "Find")),
    results);
}

async function find(unit, results) {
  results.replaceChildren(h("p", { class: "quiet", role: "status" }, "Looking …"));
  const entry = named(looking.name);
  try {
    const { hits } = await post("/api/find", { layer: state.layer.id, name: looking.name, unit, above: looking.above, texts: null });
    results.replaceChildren(hits.length ? "" : h("p", { class: "quiet" }, `${entry.symbol} of unit ${unit} is never above ${short(looking.above)} in the texts that are there. Try a lower value.`),
      ...bestOfEach(hits).map((hit) => hitLine(hit, entry)));
  } catch (problem) {
    results.replaceChildren(trouble(problem));
  }
}

/** Hits come as stretches, the best first: of a short text one is enough. */
const bestOfEach = (hits) => hits.filter((hit, k) => !hit.tokens || hits.findIndex((other) => other.text === hit.text) === k);

/** A text with every token in the colour of the unit's value; a click runs it. */
function hitLine(hit, entry) {
  const joint = state.model.input.unit === "word" ? " " : "";
  const values = numbers(hit.values).data;
  const example = state.model.examples.find((example) => example.id === hit.text);
  const text = example?.text ?? hit.tokens?.join(joint); // of a long text the part around the hit
  const open = () => run({ text }).then(() => goTo(example ? hit.from : hit.from - hit.first)).catch(app.report);
  const steps = hit.to - hit.from > 1 ? `steps ${hit.from + 1}–${hit.to}` : `step ${hit.to}`;
  const place = `${steps}, mean ${short(hit.score)}`;
  if (!hit.tokens) return h("button", { type: "button", class: "hit", onclick: open }, `${hit.text}: ${place}`);
  return h("button", { type: "button", class: "hit", title: `${place}. Run this text`, onclick: open },
    hit.tokens.map((token, k) => {
      const colour = colourFor(entry, values[k]);
      const on = k + hit.first >= hit.from && k + hit.first < hit.to ? "on" : "";
      return [h("span", { class: on, style: { background: css(colour), color: inkOn(colour) }, title: short(values[k]) }, shown(token)), joint];
    }));
}
