"use strict";
(() => {
  const root = document.documentElement;
  const every = (selector, within = document) => [...within.querySelectorAll(selector)];
  const plots = every(".plot");

  // --- theme ---
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const remembered = () => { try { return localStorage.getItem("evenhand-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);
  const nameButton = () => {
    const other = isDark() ? "Light" : "Dark";
    button.textContent = other;
    button.setAttribute("aria-label", `Use the ${other.toLowerCase()} theme`);
  };
  const themeChanged = () => { nameButton(); plots.filter((plot) => plot.classList.contains("drawn")).forEach(draw); };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("evenhand-theme", root.dataset.theme); } catch { /* it is then for this view only */ }
    themeChanged();
  });
  wish.addEventListener("change", () => { if (!root.dataset.theme) themeChanged(); });
  nameButton();

  // --- tables ---
  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.sort ?? cell.textContent.trim();
    const number = Number(value);
    return value === "" || value === "–" ? null : Number.isNaN(number) ? value : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  const sort = (table, column) => {
    const head = table.tHead.rows[0].cells[column];
    const numeric = head.classList.contains("number");
    const now = head.getAttribute("aria-sort");
    const descending = now ? now === "ascending" : numeric;
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [key(row, column), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return descending ? compare(b, a) : compare(a, b);
    });
    every("[aria-sort]", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  };
  every("table").forEach((table) => {
    if (table.tBodies[0].rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const control = document.createElement("button");
      control.type = "button";
      control.append(...head.childNodes);
      control.addEventListener("click", () => sort(table, column));
      head.append(control);
    });
  });
  const reachable = () => every(".wide").forEach((box) => {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0; else box.removeAttribute("tabindex");
  });
  addEventListener("resize", reachable);

  // --- commands ---
  every(".code").forEach((box) => {
    const copy = document.createElement("button");
    copy.type = "button";
    copy.textContent = "Copy";
    copy.addEventListener("click", async () => {
      const code = box.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1600);
    });
    box.append(copy);
  });

  // --- contents ---
  const contents = document.querySelector("#contents details");
  if (contents) {
    const broad = matchMedia("(min-width: 68rem)");
    const fit = () => { contents.open = broad.matches; };
    broad.addEventListener("change", fit);
    fit();
    const links = new Map(every("#contents a").map((link) => [link.hash.slice(1), link]));
    const watch = new IntersectionObserver((entries) => {
      const seen = entries.find((entry) => entry.isIntersecting);
      if (!seen) return;
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(seen.target.id)?.setAttribute("aria-current", "true");
    }, { rootMargin: "-15% 0px -75% 0px" });
    every("main > section").forEach((section) => watch.observe(section));
  }

  // --- charts: the script that draws them is unpacked when the first comes into view ---
  const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5d5d5d", "#8b5a2b"];
  const DARK = ["#4ba3db", "#f07f3c", "#2fc29a", "#db93bc", "#8ccbf0", "#f2b640", "#a8a8a8", "#bf8a55"];
  const parts = (code) => [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
  const swaps = new Map(LIGHT.map((code, place) => [code, DARK[place]]));
  const faint = new Map(LIGHT.map((code, place) => [parts(code).join(), parts(DARK[place]).join()]));
  const FAINT = /^rgba\((\d+), ?(\d+), ?(\d+), ?([\d.]+)\)$/;
  const inDark = (value, ink) => {
    if (Array.isArray(value)) return value.map((item) => inDark(item, ink));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inDark(item, ink)]));
    }
    if (typeof value !== "string" || (value[0] !== "#" && value[0] !== "r")) return value;
    if (value === "#222222") return ink;
    const found = FAINT.exec(value);
    if (found) return `rgba(${faint.get(found.slice(1, 4).join()) ?? found.slice(1, 4).join()},${found[4]})`;
    return swaps.get(value.toLowerCase()) ?? value;
  };
  const BUTTONS = { flat: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]], space: [["toImage"], ["resetCameraDefault3d"]] };
  const config = (plot, layout) => ({
    displaylogo: false,
    responsive: true,
    displayModeBar: plot.clientHeight >= 300 && matchMedia("(hover: hover)").matches ? "hover" : false,
    modeBarButtons: layout.scene ? BUTTONS.space : BUTTONS.flat,
  });
  let figures = null;
  let Plotly = null;
  const styled = (plot, dark) => {
    figures ??= JSON.parse(document.getElementById("figures").textContent);
    const figure = figures[Number(plot.dataset.figure)];
    const look = getComputedStyle(root);
    const ink = look.getPropertyValue("--ink").trim();
    const made = dark ? inDark(figure, ink) : structuredClone(figure);
    const layout = made.layout;
    layout.font = { ...layout.font, color: ink, family: look.getPropertyValue("--sans") };
    layout.hoverlabel = { ...layout.hoverlabel, bgcolor: look.getPropertyValue("--raised").trim(), font: { color: ink } };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: look.getPropertyValue("--strong").trim(), activecolor: look.getPropertyValue("--accent").trim() };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      const title = layout[name].title;
      if (title?.text) layout[name].title = { ...title, standoff: 10, font: { ...title.font, size: 13 } };
    }
    for (const name of Object.keys(layout).filter((key) => /^scene\d*$/.test(key))) {
      for (const axis of ["xaxis", "yaxis", "zaxis"]) {  // no opacity there
        layout[name][axis] = { ...layout[name][axis], gridcolor: look.getPropertyValue("--line").trim(), zerolinecolor: look.getPropertyValue("--strong").trim() };
      }
    }
    layout.height = undefined;
    layout.autosize = true;
    if (plot.clientWidth < 460) {
      layout.font.size = 12;
      layout.margin = { ...layout.margin, l: Math.min(layout.margin?.l ?? 48, 48), r: 8 };
    }
    return made;
  };
  const cameras = (plot) => Object.fromEntries(
    Object.keys(plot._fullLayout ?? {}).filter((name) => /^scene\d*$/.test(name))
      .map((name) => [name, plot._fullLayout[name]._scene?.getCamera?.()]).filter(([, camera]) => camera));
  const draw = (plot, dark = isDark()) => {
    if (!Plotly) return;
    const made = styled(plot, dark);
    for (const [name, camera] of Object.entries(cameras(plot))) made.layout[name] = { ...made.layout[name], camera };
    Plotly.react(plot, made.data, made.layout, config(plot, made.layout));
    plot.classList.add("drawn");
  };
  const unpack = async () => {
    const packed = document.getElementById("plotly");
    const bytes = Uint8Array.from(atob(packed.textContent), (sign) => sign.charCodeAt(0));
    const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    const script = document.createElement("script");
    script.textContent = text;
    document.head.append(script);
    script.remove();
    packed.textContent = "";
    if (!window.Plotly) throw new Error("the charts' script did not run");
    Plotly = window.Plotly;
  };
  let unpacking = null;
  const withPlotly = () => (unpacking ??= unpack());
  const withoutCharts = () => {
    root.classList.remove("charts");
    every("details.numbers").forEach((numbers) => { numbers.open = true; });
  };
  const show = async (plot) => {
    try {
      await withPlotly();
      draw(plot);
    } catch {
      withoutCharts();
    }
  };
  const begin = () => {
    root.classList.add("charts");
    every("details.numbers").forEach((numbers) => { numbers.open = false; });
    const near = new IntersectionObserver((entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      near.unobserve(entry.target);
      show(entry.target);
    }), { rootMargin: "400px 0px" });
    plots.forEach((plot) => near.observe(plot));
    (window.requestIdleCallback ?? setTimeout)(() => withPlotly().catch(withoutCharts));  // ready before it is printed
  };
  if (plots.length && "DecompressionStream" in window) addEventListener("DOMContentLoaded", begin);  // data come last
  reachable();

  // --- print: in light colours, everything drawn and unfolded ---
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = every("main details:not([open])");
    folded.forEach((details) => { details.open = true; });
    plots.forEach((plot) => draw(plot, false));
  });
  addEventListener("afterprint", () => {
    folded.forEach((details) => { details.open = false; });
    plots.filter((plot) => plot.classList.contains("drawn")).forEach((plot) => draw(plot));
  });
})();
