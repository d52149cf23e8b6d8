// The sequence that Walk, Look and Ask are about: an example or a text of one's own, and its tokens.

import { get, getText, latest, post } from "./api.js";
import { h } from "./dom.js";
import { shown, trouble } from "./pieces.js";
import { goTo, set, state, watch } from "./store.js";

const WHOLE = 160; // so many tokens are all there; of more, those around the step
const AROUND = 40;
const FEW = 48; // so many stand below each other, where they do not fit in a line

const asked = { text: "" };

/** Runs the model; what was there before stays until the new run is there. */
export const run = latest(async (signal, request) => {
  const answer = await post("/api/run", request, signal);
  Object.assign(asked, request);
  set({ run: answer, text: request.text ?? "", t: 0, window: [0, answer.T], part: null });
  return answer;
});

export const runAgain = () => run({ ...asked });

const kept = new Map();

/** Answers of one run are kept, newest last: going back to a step asks nobody. */
async function cached(key, ask) {
  if (!kept.has(key)) {
    kept.set(key, ask().catch((problem) => { kept.delete(key); throw problem; }));
    if (kept.size > 400) kept.delete(kept.keys().next().value);
  }
  return kept.get(key);
}

export function stepAt(t) {
  const { run: now, layer, unit } = state;
  const path = `/api/run/${now.run}/step`;
  return cached(`${path} ${layer.id} ${t} ${unit}`, () => get(path, { layer: layer.id, t, unit }));
}

export const diagramOf = (layer) => cached(`diagram ${layer.id}`, () => getText("/api/diagram", { layer: layer.id }));

const UNKNOWN = "<unk>";

/** Which words of a text the model reads as unknown. */
function unknown(text = "") {
  const tokens = state.run.tokens ?? [];
  const words = text.trim().split(/\s+/);
  if (!tokens.includes(UNKNOWN)) return "";
  const found = words.length === tokens.length ? words.filter((_, k) => tokens[k] === UNKNOWN) : [];
  return `${found.length ? `The model does not know ${found.map((word) => `“${word}”`).join(", ")}` : "There are words that the model does not know"}: it reads ${UNKNOWN} instead.`;
}

/** The picker: examples as buttons, and a line to type in. */
export function picker(section) {
  const model = state.model;
  const tokens = model.input.kind === "tokens";
  const problem = h("div", { class: "problem" });
  const why = h("p", { class: "why" });
  const input = h("input", {
    type: "text", id: "text", autocomplete: "off", spellcheck: "false", maxlength: 100000,
    "aria-label": tokens ? "Your own text" : "Your own sequence",
    placeholder: tokens ? "Type a sentence of your own" : "random 500, or the numbers of a step",
  });
  const examples = h("div", { class: "examples", role: "group", "aria-label": "Examples" });

  async function ask(request, explained) {
    problem.replaceChildren();
    section.setAttribute("aria-busy", "true");
    try {
      if (!(await run(request))) return; // another was asked for meanwhile
      why.textContent = explained ?? unknown(request.text);
      input.value = request.text ?? input.value;
      paint(request.text);
    } catch (error) {
      problem.replaceChildren(trouble(error));
    } finally {
      section.removeAttribute("aria-busy");
    }
  }
  const paint = (text) => {
    for (const button of examples.children) button.setAttribute("aria-pressed", button.dataset.text === text);
  };
  for (const example of model.examples) {
    examples.append(h("button", {
      type: "button", class: "example", "data-text": example.text, title: example.text,
      onclick: () => ask({ text: example.text }, example.why),
    }, example.title));
  }
  const form = h("form", {
    class: "own",
    onsubmit: (event) => {
      event.preventDefault();
      const text = input.value.trim();
      ask({ text: /^\d+$/.test(text) && !tokens ? `random ${text}` : text });
    },
  }, input, h("button", { type: "submit", class: "primary" }, "Run"));
  section.append(h("div", { class: "choose" }, examples, form), why, problem);
  const first = model.examples[0];
  return ask({ text: first?.text ?? "random 100" }, first?.why);
}

let strips = 0;

/** The tokens as a strip; the one looked at is marked. A long sequence has a slider and shows those around. */
export function strip({ tint = null } = {}) {
  const own = `token-${strips++}`;
  const list = h("div", { class: "tokens", role: "listbox", "aria-label": "Steps", tabindex: 0 });
  const slider = h("input", { type: "range", min: 0, "aria-label": "Step", oninput: () => goTo(Number(slider.value)) });
  const where = h("output", { class: "where" });
  const box = h("div", { class: "strip" }, list, h("div", { class: "along" }, slider, where));
  let from = 0;

  function fill() {
    const { run: now, t } = state;
    const long = now.T > WHOLE;
    from = long ? Math.max(0, Math.min(t - AROUND, now.T - 2 * AROUND - 1)) : 0;
    const to = long ? Math.min(now.T, from + 2 * AROUND + 1) : now.T;
    box.classList.toggle("long", long);
    list.classList.toggle("few", now.T <= FEW);
    slider.max = now.T - 1;
    list.replaceChildren(...Array.from({ length: to - from }, (_, k) => {
      const step = from + k;
      return h("span", { class: "token", role: "option", id: `${own}-${step}`, onclick: () => goTo(step) },
        h("span", {}, shown(now.tokens?.[step] ?? String(step + 1))));
    }));
  }
  function mark() {
    const { run: now, t } = state;
    if (t < from || t >= from + list.children.length || (now.T > WHOLE && !inMiddle(t))) fill();
    [...list.children].forEach((token, k) => {
      token.setAttribute("aria-selected", from + k === t);
      token.style.setProperty("--tint", tint?.(from + k) ?? "transparent");
    });
    list.setAttribute("aria-activedescendant", `${own}-${t}`);
    slider.value = t;
    where.textContent = `step ${t + 1} of ${now.T}`;
    follow(list, list.children[t - from]);
  }
  const inMiddle = (t) => Math.abs(t - from - AROUND) < AROUND / 2 || from === 0 || from + list.children.length >= state.run.T;
  box.paint = (anew = false) => {
    if (!state.run) return;
    if (anew) fill();
    mark();
  };
  return box;
}

/** Scrolls a row, and only that row, so that a piece of it is seen. */
function follow(row, piece) {
  if (!piece || row.scrollWidth <= row.clientWidth) return;
  row.scrollLeft = piece.offsetLeft - row.offsetLeft - row.clientWidth / 2 + piece.offsetWidth / 2;
}

watch((changed) => changed.has("run") && kept.forEach((_, key) => key.startsWith("/api/run") && kept.delete(key)));
