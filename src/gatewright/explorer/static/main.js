// The page: opens the model, shows one of five views by the address, and hands keys to the view that is shown.

import { get, takeToken } from "./api.js";
import { count, h } from "./dom.js";
import { openHelp } from "./help.js";
import { picker, runAgain } from "./sequence.js";
import { goTo, moveUnit, set, state, watch } from "./store.js";
import { view as walk } from "./views/walk.js";

const LATER = { look: "Look", ask: "Ask", compare: "Compare", write: "Write" };
const ORDER = ["walk", ...Object.keys(LATER)];
const loaded = { walk };
const $ = (selector) => document.querySelector(selector);
let current = null;

/** A view's module is loaded when it is first looked at. */
const viewOf = async (id) => (loaded[id] ??= (await import(`./views/${id}.js`)).view);

function buildNavigation() {
  $("nav").append(...ORDER.map((id, k) =>
    h("a", { href: `#${id}`, "data-view": id, title: `${LATER[id] ?? "Walk"}  ${k + 1}` }, LATER[id] ?? "Walk")));
}

async function show(id) {
  const view = await viewOf(id);
  if (current === view) return;
  current?.hide?.();
  current = view;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${view.title} – Gatewright explorer`;
  $(".lead h1").textContent = view.title;
  $(".lead p").textContent = view.lead;
  $("#sequence").hidden = !view.sequence;
  for (const other of $("#views").children) other.hidden = other.dataset.view !== id;
  if (!view.root) {
    view.root = h("div", { class: `view ${id}`, "data-view": id });
    $("#views").append(view.root);
    view.mount(view.root, { report });
  }
  await view.show?.();
  document.documentElement.dataset.view = id;
}

const wanted = () => (ORDER.includes(location.hash.slice(1)) ? location.hash.slice(1) : "walk");

// -- what goes wrong ------------------------------------------------------------------------------

/** Says what happened and offers what helps, above everything. */
export function report(problem) {
  if (problem.name === "AbortError") return;
  if (problem.status === undefined) console.error(problem);
  const notice = $("#notice");
  const again = problem.status === 404 && state.run ? ["Run it again", runAgain] : ["Try again", () => location.reload()];
  const act = async () => {
    try {
      await again[1]();
      notice.hidden = true;
    } catch (another) {
      report(another);
    }
  };
  notice.replaceChildren(
    h("div", {}, h("strong", {}, problem.message), problem.remedy ? ` ${problem.remedy}` : ""),
    h("button", { type: "button", onclick: act }, again[0]),
    h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: () => (notice.hidden = true) }, "✕"));
  notice.hidden = false;
}

// -- light and dark -----------------------------------------------------------------------------

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("gatewright-theme", name);
}

/** What is painted by hand takes the new colours; what is drawn by the style sheet has them. */
function repaint() {
  paintTheme();
  for (const view of Object.values(loaded)) if (view.root) view.repaint?.();
}

function paintTheme() {
  const [sign, words] = THEMES[document.documentElement.dataset.theme];
  const button = $("#theme");
  button.textContent = sign;
  button.title = `Colours: ${words}  d`;
  button.setAttribute("aria-label", `Colours: ${words}. Change`);
}

const nextTheme = () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
};

// -- keys ---------------------------------------------------------------------------------------

const KEYS = {
  ArrowLeft: () => goTo(state.t - 1),
  ArrowRight: () => goTo(state.t + 1),
  Home: () => goTo(0),
  End: () => goTo(Infinity),
  "[": () => moveUnit(-1),
  "]": () => moveUnit(1),
  "/": () => (current.root.querySelector("[data-first]") ?? $("#text"))?.focus(),
  "?": () => openHelp(),
  d: nextTheme,
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#help").open) return;
  const at = event.target;
  if (at.matches("input, textarea, select, [contenteditable]")) {
    if (event.key === "Escape") at.blur();
    return;
  }
  if (event.key === " " && at.closest("button, a, summary")) return;
  const number = Number(event.key);
  if (event.key !== " " && number >= 1 && number <= ORDER.length) location.hash = ORDER[number - 1];
  else {
    const act = current?.keys?.[event.key] ?? (state.run || !event.key.startsWith("Arrow") ? KEYS[event.key] : null);
    if (!act) return;
    act(event);
  }
  event.preventDefault();
}

// -- the beginning ------------------------------------------------------------------------------

function about(model) {
  const listed = model.layers.map((layer) => `${layer.cell}, ${layer.width} units`);
  const layers = [...new Set(listed)].map((text) => {
    const times = listed.filter((other) => other === text).length;
    return times > 1 ? `${times} × ${text}` : text;
  }).join("; ");
  $("#about").replaceChildren(
    h("span", {}, h("b", {}, model.name), ` · ${layers} · ${count(model.parameters)} parameters`),
    h("span", {}, model.description ?? ""));
}

async function open() {
  const model = await get("/api/model");
  $("#views").replaceChildren();
  set({ model, layer: model.layers[0] });
  about(model);
  const asked = wanted();
  const running = picker($("#sequence"));
  if (asked !== "walk") viewOf(asked).catch(report);
  await running;
  await show(asked);
  performance.mark("gatewright-ready");
  document.documentElement.dataset.ready = "";
}

takeToken();
buildNavigation();
paintTheme();
$("#theme").addEventListener("click", nextTheme);
$("#keys").addEventListener("click", openHelp);
document.addEventListener("keydown", pressed);
new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-scheme", "data-theme"] });
window.addEventListener("hashchange", () => show(wanted()).catch(report));
watch((changed) => current?.update?.(changed)?.catch?.(report));
open().catch((problem) => {
  $("#views").replaceChildren(h("p", { class: "loading" }, "The model could not be opened."));
  report(problem);
});
