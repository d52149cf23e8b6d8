// Runs before the page is drawn, so that nothing flashes. "auto" follows the system; `data-scheme` is what that means.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const resolve = () => {
    root.dataset.scheme = root.dataset.theme === "auto" ? (system.matches ? "dark" : "light") : root.dataset.theme;
  };
  const kept = localStorage.getItem("gatewright-theme");
  root.dataset.theme = kept === "light" || kept === "dark" ? kept : "auto";
  resolve();
  new MutationObserver(resolve).observe(root, { attributeFilter: ["data-theme"] });
  system.addEventListener("change", resolve);
})();
