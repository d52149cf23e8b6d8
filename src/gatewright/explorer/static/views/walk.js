// Walk: one step at a time through the sequence; the diagram lights up with the numbers of each part of a step.

import { get, latest, numbers } from "../api.js";
import { colourOf, css, inkOn, scale } from "../colour.js";
import { debounced, diagram as diagramFrom, drawn, h, short } from "../dom.js";
import { chip, field, legend, predictionBars, select, shown, unitPicker } from "../pieces.js";
import { diagramOf, stepAt, strip } from "../sequence.js";
import { chooseUnit, goTo, isGate, moveUnit, named, placeOf, set, state, tokenAt, unitName } from "../store.js";

export const view = {
  id: "walk",
  title: "Walk",
  lead: "One step at a time: what the cell forgets, lets in, keeps and shows.",
  sequence: true,
};

const PACE = 1400; // milliseconds a part
const LEANS = 400; // of so many tokens at most it is said which ones matter
let tokens, units, diagram, parts, predictions, leaning, caption, playing, timer, report, layers;

view.mount = (root, app) => {
  report = app.report;
  tokens = strip();
  units = unitPicker(moveUnit, chooseUnit);
  layers = h("span");
  playing = h("button", { type: "button", class: "play", onclick: toggle });
  diagram = h("div", { class: "diagram" });
  caption = h("p", { class: "caption", "aria-live": "polite" });
  parts = h("ol", { class: "parts" });
  predictions = h("div", { class: "predictions" });
  leaning = h("div", { class: "leaning" });
  const step = (label, title, by) =>
    h("button", { type: "button", class: "quiet", "aria-label": label, title, onclick: () => goTo(state.t + by) }, by < 0 ? "←" : "→");
  root.append(
    tokens,
    h("div", { class: "stage" },
      h("figure", { class: "card picture" },
        h("div", { class: "controls" },
          h("span", { class: "transport" }, step("Step back", "Step back  ←", -1), playing, step("Next step", "Next step  →", 1)),
          layers, units),
        diagram, caption),
      h("section", { class: "card", "aria-label": "Prediction" }, predictions, leaning)),
    parts);
  paintPlay();
};

view.show = async () => {
  await begin();
};

view.hide = stop;

view.update = async (changed) => {
  if (changed.has("run") || changed.has("layer")) await begin();
  else if (changed.has("t") || changed.has("unit")) await paint();
  else if (changed.has("part")) light();
};

view.keys = {
  " ": toggle,
  ArrowDown: () => movePart(1),
  ArrowUp: () => movePart(-1),
};

view.repaint = () => now && light();

/** Another sequence or layer: the picture and the cards anew. */
async function begin() {
  if (!state.run) return;
  tokens.paint(true);
  const { layer, model } = state;
  layers.replaceChildren(...(model.layers.length < 2 ? [] : [field("Layer", select("Layer",
    model.layers.map((entry) => [entry.id, entry.title]), layer.id,
    (id) => set({ layer: model.layers.find((entry) => entry.id === id), unit: "mean" })))]));
  parts.replaceChildren(...story().map((part, k) => card(part, k)));
  if (diagram.dataset.layer !== layer.id) {
    const picture = diagramFrom(await diagramOf(layer));
    diagram.dataset.layer = layer.id;
    diagram.replaceChildren(picture);
  }
  await paint();
}

/** The parts of a step: the server's, or equation by equation. */
const story = () =>
  state.layer.story ?? state.layer.names.map(({ name, symbol }) => ({ key: name, title: symbol, sentence: "", names: [name] }));

function card(part, k) {
  return h("li", {},
    h("button", { type: "button", class: "part", onclick: () => set({ part: state.part === k ? null : k }) },
      h("span", { class: "heading" }, h("span", { class: "ordinal" }, k + 1), part.title),
      h("span", { class: "values" }),
      h("span", { class: "sentence" }, part.sentence),
      part.mathml ? h("span", { class: "equation" }, drawn(part.mathml)) : null));
}

let now = null; // the answer that is shown

async function paint() {
  if (!state.run) return;
  const { t, unit } = state;
  tokens.paint();
  units.paint();
  try {
    const answer = await stepAt(t);
    if (state.t !== t || state.unit !== unit) return;
    now = answer;
    light();
    foretell();
    lean();
    document.documentElement.dataset.step = t;
    if (t + 1 < state.run.T) stepAt(t + 1).catch(() => {}); // ahead of the next key
  } catch (problem) {
    report(problem);
  }
}

/** Colours and numbers of every named piece; what the story has not reached yet is faint. */
function light() {
  if (!now) return;
  const told = story();
  const upTo = state.part ?? told.length;
  const reached = new Set(told.slice(0, upTo + 1).flatMap((part) => part.names));
  const active = new Set(state.part === null ? [] : told[state.part].names);
  diagram.classList.toggle("telling", state.part !== null);
  for (const piece of diagram.querySelectorAll("[data-name]")) {
    const { name } = piece.dataset;
    const there = reached.has(name) || !told.some((part) => part.names.includes(name));
    tint(piece, name, there ? valueOf(name) : undefined);
    piece.classList.toggle("faint", !there);
    piece.classList.toggle("active", active.has(name));
  }
  [...parts.children].forEach((item, k) => {
    const button = item.firstChild;
    button.setAttribute("aria-pressed", state.part === k);
    item.classList.toggle("later", k > upTo);
    button.querySelector(".values").replaceChildren(
      ...told[k].names.filter((name) => now.values[name] !== undefined && named(name)).map((name) => chip(name, now.values[name])),
      ...(told[k].key === "forget" ? oldStates(told) : []));
  });
  const sentence = state.part === null ? "" : told[state.part].sentence;
  caption.textContent = sentence || `S${placeOf(state.t).slice(1)}: ${unitName()}.`;
}

/** What the forget part multiplies: the states that the update part makes anew. */
const oldStates = (told) => (told.find((part) => part.key === "update")?.names ?? [])
  .filter((name) => now.values[`${name}_prev`] !== undefined)
  .map((name) => chip(name, now.values[`${name}_prev`], `${named(name).symbol}₋₁`));

const valueOf = (name) => now.values[name];

function tint(piece, name, value) {
  const label = piece.querySelector(".value");
  const known = value !== undefined && value !== null;
  piece.classList.toggle("lit", known);
  if (!known) {
    if (label) label.textContent = name === "x" && state.run.tokens ? shown(tokenAt(state.t)) : "";
    return;
  }
  const entry = named(name) ?? named(name.replace(/_prev$/, ""));
  const colour = colourOf(value, scale(entry));
  piece.style.setProperty("--tint", css(colour));
  piece.style.setProperty("--on", inkOn(colour));
  const strength = Math.min(Math.abs(value), 1);
  piece.style.setProperty("--full", css(isGate(name) ? colour : colourOf(Math.sign(value), { ...scale(entry), lo: -1.4, hi: 1.4 })));
  piece.style.setProperty("--share", `${isGate(name) ? 100 : 15 + 85 * strength}%`);
  piece.style.setProperty("--weight", isGate(name) ? 1.2 + 2.6 * value : 1.6 + 2.2 * strength);
  if (label) label.textContent = short(value);
}

function foretell() {
  if (!now.prediction) {
    predictions.replaceChildren(h("h2", {}, "Values"), h("p", { class: "quiet" }, `Of ${unitName()}, with what stands inside each squashing.`),
      h("dl", { class: "table" }, Object.entries(now.values).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, short(value))))), legends());
    return;
  }
  predictions.replaceChildren(
    h("h2", {}, "What comes next?"),
    h("p", { class: "quiet" }, "After “", h("b", {}, shown(tokenAt(state.t))), "” the model expects"),
    predictionBars(now.prediction, now.actual),
    legends());
}

const legends = () => h("div", { class: "legends" },
  ["gate", "state"].map((kind) => state.layer.names.find((entry) => entry.kind === kind)).filter(Boolean)
    .map((entry) => h("p", {}, h("span", {}, `${entry.kind}s`), legend(entry))));

const askLeaning = latest((signal, t) => get(`/api/run/${state.run.run}/sensitivity`, { t }, signal));

/** Which earlier tokens the prediction depends on, once one has stayed at a step for a moment. */
const lean = debounced(async () => {
  const { t, run } = state;
  if (!run?.tokens || run.T > LEANS || view.root.hidden) return;
  const answer = await askLeaning(t).catch((problem) => void report(problem));
  if (!answer || state.t !== t || state.run !== run) return;
  const values = numbers(answer.values).data;
  const most = Math.max(...values.slice(0, t + 1), 1e-12);
  leaning.replaceChildren(
    h("h3", {}, "What this prediction leans on"),
    h("p", {}, run.tokens.slice(0, t + 1).map((token, k) => [
      h("span", { style: { "--share": `${Math.round((100 * (values[k] || 0)) / most)}%` }, title: short(values[k] ?? NaN) }, shown(token)), " "])));
}, 160);

// -- playing ------------------------------------------------------------------------------------

function movePart(by) {
  const last = story().length - 1;
  const next = state.part === null ? (by > 0 ? 0 : last) : state.part + by;
  set({ part: next < 0 || next > last ? null : next });
}

function toggle() {
  if (timer) stop();
  else {
    if (state.t === state.run.T - 1) goTo(0);
    set({ part: 0 });
    timer = setInterval(advance, PACE);
  }
  paintPlay();
}

function advance() {
  if (state.part !== null && state.part < story().length - 1) set({ part: state.part + 1 });
  else if (state.t < state.run.T - 1) set({ t: state.t + 1, part: 0 });
  else stop();
}

function stop() {
  clearInterval(timer);
  timer = 0;
  set({ part: null });
  paintPlay();
}

function paintPlay() {
  playing.textContent = timer ? "❚❚ Pause" : "▶ Play";
  playing.title = timer ? "Pause  space" : "Play each part of each step  space";
  playing.setAttribute("aria-pressed", Boolean(timer));
}
