// A chart in a dialog, drawn by plotly: zoom, exact values, a picture to keep. Loaded when first asked for.

import { LINES, theme } from "./colour.js";
import { h } from "./dom.js";

const STYLES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SETTINGS = {
  displaylogo: false, responsive: true, plotlyServerURL: "", // nothing leaves this machine
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
let loading = null;

/** plotly's own file from the server's Python package; nothing from a network. */
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = h("script", { src: "/static/plotly.min.js" });
    script.onload = () => resolve(globalThis.Plotly);
    script.onerror = () => reject(new Error("plotly could not be loaded"));
    document.head.append(script);
  });
  return loading;
}

export async function larger({ title, x, y, log, series }) {
  const place = h("div", { class: "larger" }, h("p", { class: "loading" }, "Drawing …"));
  const dialog = h("dialog", { class: "wide", "aria-label": title, onclose: () => dialog.remove() },
    place, h("form", { method: "dialog" }, h("button", { class: "primary" }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
  try {
    const plotly = await library();
    place.replaceChildren();
    await plotly.newPlot(place, series.map(trace), layout(title, x, y, log), SETTINGS);
  } catch (problem) {
    place.replaceChildren(h("p", { class: "trouble" }, h("strong", {}, "plotly is missing."),
      ` Install it with pip install "gatewright[pictures]". (${problem.message})`));
  }
}

const trace = (line, k) => ({
  name: line.name, x: line.points.map(([at]) => at), y: line.points.map(([, value]) => value), mode: "lines",
  line: { color: LINES[theme()][k % LINES.light.length], dash: STYLES[k % STYLES.length], width: 2.4 },
});

function layout(title, x, y, log) {
  const style = getComputedStyle(document.documentElement);
  const [ink, paper, edge] = ["--ink", "--card", "--edge"].map((name) => style.getPropertyValue(name).trim());
  const axis = (text, type) => ({ title: { text }, type, gridcolor: edge, zerolinecolor: edge });
  return {
    title: { text: title }, paper_bgcolor: paper, plot_bgcolor: paper, font: { color: ink, family: "system-ui, sans-serif" },
    xaxis: axis(x, "linear"), yaxis: axis(y, log ? "log" : "linear"), margin: { t: 56, r: 24 }, hovermode: "x unified",
  };
}
