// What all views share: the model, the sequence that was run, where in it one looks, and at which unit.

export const state = {
  model: null,
  layer: null, // an entry of model.layers
  text: "",
  run: null, // {run, T, tokens, predictions}
  t: 0,
  unit: "mean", // or a unit's number
  part: null, // which part of a step's story is told; null for all
  window: [0, 1], // the steps that Look shows: [from, to)
};

const listeners = new Set();

/** `f(changed)` is called after every change, with the set of names that changed. */
export function watch(f) {
  listeners.add(f);
}

export function set(changes) {
  const changed = new Set(Object.keys(changes).filter((key) => state[key] !== changes[key]));
  if (!changed.size) return;
  Object.assign(state, changes);
  for (const f of listeners) f(changed);
}

export const clamp = (value, lo, hi) => Math.min(Math.max(value, lo), hi);

export function goTo(t) {
  if (state.run) set({ t: clamp(t, 0, state.run.T - 1) });
}

/** The next or the previous unit; the layer's average stands before the first. */
export function moveUnit(by) {
  const width = state.layer?.width ?? 0;
  const now = state.unit === "mean" ? -1 : state.unit;
  const next = clamp(now + by, -1, width - 1);
  set({ unit: next < 0 ? "mean" : next });
}

/** A unit by its number, as typed; the average where it is none. */
export function chooseUnit(unit) {
  set({ unit: unit === "mean" || !(unit >= 0) ? "mean" : Math.min(Math.floor(unit), state.layer.width - 1) });
}

export const named = (name) => state.layer?.names.find((entry) => entry.name === name);
export const isGate = (name) => named(name)?.kind === "gate";
export const unitName = () => (state.unit === "mean" ? "the layer’s average" : `unit ${state.unit}`);
export const tokenAt = (t) => state.run?.tokens?.[t] ?? "";

/** A step in words: step 3, “are”. */
export const placeOf = (t) => `step ${t + 1}${tokenAt(t) === "" ? "" : `, “${tokenAt(t).replaceAll("\n", "↵")}”`}`;
