"use strict";
(() => {
  const POLL = 2000;  // milliseconds
  const MOST_SHOWN = 6;  // charts that are shown without being asked for
  const root = document.documentElement;
  if (window.Plotly) root.classList.add("charts");
  const at = (id) => document.getElementById(id);
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  // --- what is known ---
  const runs = new Map();  // by name, what the list says
  const curves = new Map();  // by name, {life, records}
  const rows = new Map();
  const charts = new Map();
  const chosen = new Set();  // by the reader
  const closed = new Set();
  let serial = 0;
  let clock = 0;  // of the server minus ours, in seconds
  let lost = 0;

  // --- words ---
  const duration = (seconds) => {
    if (seconds === null || !Number.isFinite(seconds)) return "";
    const s = Math.max(0, Math.round(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, "0")} s`;
    return `${Math.floor(s / 3600)} h ${String(Math.floor((s % 3600) / 60)).padStart(2, "0")} min`;
  };
  const percent = (share) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`);
  const now = () => Date.now() / 1000 + clock;
  const title = (run) => `${run.label || run.method}, seed ${run.seed}`;
  const since = (run) => (run.status === "running" ? Math.max(0, now() - run.sign) : 0);
  const rest = (run) => (run.status === "running" && run.each !== null
    ? Math.max(0, (run.epochs - run.epoch) * run.each - Math.min(since(run), run.each)) : null);

  // --- list ---
  const row = (run) => {
    const open = make("button", { type: "button", className: "plain" });
    open.addEventListener("click", () => toggle(run.name));
    const small = make("small", {}, run.name.split("-").pop());
    const link = make("a", { href: `/report?run=${encodeURIComponent(run.name)}`, textContent: "page" });
    const head = make("th", { scope: "row" }, open, small);
    const status = make("span");
    const k = make("span");
    const fill = make("i");
    const cells = {
      status: make("td", {}, status),
      epoch: make("td", { className: "number epoch" }, k, make("span", { className: "bar", ariaHidden: "true" }, fill)),
      elapsed: make("td", { className: "number elapsed" }),
      rest: make("td", { className: "number rest" }),
      worst: make("td", { className: "worst-group" }),
      score: make("td", { className: "number score" }),
    };
    const element = make("tr", {}, head, ...Object.values(cells));
    return { ...cells, element, open, small, link, state: status, k, fill };
  };
  const fillRow = (run) => {
    const line = rows.get(run.name) ?? rows.set(run.name, row(run)).get(run.name);
    set(line.open, title(run));
    line.open.setAttribute("aria-pressed", String(charts.has(run.name)));
    line.open.setAttribute("aria-label", `${title(run)}: show or hide its curves`);
    line.element.className = run.status;
    line.state.className = `status ${run.status}`;
    set(line.state, run.status === "stalled" ? `stalled: no sign for ${duration(now() - run.sign)}` : run.status);
    if (run.status === "finished" && !line.link.isConnected) {
      line.link.setAttribute("aria-label", `page of ${title(run)}`);
      line.small.append(" · ", line.link);
    }
    set(line.k, run.status === "finished" ? `${run.epoch}` : `${run.epoch} of ${run.epochs}`);
    line.fill.style.width = `${run.epochs ? (100 * run.epoch) / run.epochs : 0}%`;
    set(line.rest, duration(rest(run)));
    set(line.elapsed, duration(run.seconds + since(run)));
    set(line.worst, run.worst ? `${percent(run.worst.accuracy)} ${run.worst.group}` : "");
    set(line.score, run.best ? percent(run.best.score) : "");
    line.score.title = run.best ? `${run.rule.replaceAll("_", " ")} accuracy on validation, epoch ${run.best.epoch + 1}` : "";
    return line;
  };
  const ORDER = { running: 0, stalled: 1, finished: 2 };
  const inOrder = () => [...runs.values()].sort((a, b) =>
    ORDER[a.status] - ORDER[b.status] || title(a).localeCompare(title(b), undefined, { numeric: true }));
  const drawList = () => {
    const which = document.querySelector("input[name=which]:checked").value;
    const counts = { all: runs.size, running: 0, stalled: 0, finished: 0 };
    runs.forEach((run) => { counts[run.status] += 1; });
    Object.entries(counts).forEach(([name, count]) => set(at(`n-${name}`), `(${count})`));
    const wanted = inOrder().filter((run) => which === "all" || run.status === which).map((run) => fillRow(run).element);
    const there = [...at("runs").children];
    if (wanted.length !== there.length || wanted.some((element, place) => element !== there[place])) {
      const focused = document.activeElement;
      at("runs").replaceChildren(...wanted);
      if (focused?.isConnected) focused.focus({ preventScroll: true });
    }
    at("list").hidden = !runs.size;
    at("full").parentElement.hidden = !counts.finished;
    return counts;
  };
  const say = (counts) => {
    const said = ["running", "stalled", "finished"].filter((name) => counts[name]).map((name) => `${counts[name]} ${name}`);
    const left = [...runs.values()].map(rest).filter((seconds) => seconds !== null);
    const longest = left.length ? ` The runs at work need about ${about(Math.max(...left))} more.` : "";
    set(at("now"), runs.size ? `${said.join(", ")}.${longest}` : "There are no runs yet; they appear here as they begin.");
    at("now").classList.remove("lost");
    document.title = `${counts.running ? `${counts.running} running` : "Runs"} – evenhand`;
    const data = [...new Set([...runs.values()].map((run) => run.data))];
    if (data.length) set(at("title"), data.join(", "));
  };
  const about = (seconds) => {  // coarse, so that it is not read aloud at every change
    if (seconds < 60) return "a minute";
    if (seconds < 5400) return `${Math.ceil(seconds / 60)} min`;
    return `${Math.ceil(seconds / 3600)} h`;
  };

  // --- charts ---
  const look = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const DASHES = ["solid", "dash", "longdash", "dashdot"];
  const colour = (g) => look(`--c${g % 8}`);
  const GROUPS = new Map();  // names to numbers, the same in every chart
  const number = (name) => GROUPS.get(name) ?? GROUPS.set(name, GROUPS.size).get(name);
  const traces = (run, records) => {
    const withTrain = at("train").checked;
    const x = records.map((_, place) => place + 1);
    return run.groups.flatMap((name, g) => {
      const k = number(name);
      const base = { x, name, mode: records.length > 1 ? "lines" : "markers", hovertemplate: "%{y:.1%}", connectgaps: false };
      const line = { color: colour(k), width: 2, dash: DASHES[Math.floor(k / 8) % DASHES.length] };
      const val = { ...base, y: records.map((record) => record.val[g] ?? null), line, marker: { color: colour(k), size: 7 } };
      const train = {
        ...base, name: `${name}, training`, y: records.map((record) => record.train[g] ?? null), opacity: 0.75,
        line: { color: colour(k), width: 1.5, dash: "dot" }, marker: { color: colour(k), size: 5, symbol: "circle-open" },
      };
      return withTrain ? [train, val] : [val];
    });
  };
  const layout = (run, records) => {
    const ink = look("--ink");
    const soft = look("--soft");
    const grid = look("--line");
    const axis = { gridcolor: grid, zeroline: false, linecolor: grid, tickfont: { color: soft, size: 12 }, fixedrange: true };
    const borders = records.flatMap((record, place) => (place && record.stage !== records[place - 1].stage ? [place + 0.5] : []));
    return {
      margin: { l: 46, r: 8, t: 8, b: 42 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      font: { family: look("--sans"), size: 12, color: ink }, hovermode: "x unified",
      hoverlabel: { bgcolor: look("--raised"), bordercolor: grid, font: { color: ink, size: 12 }, namelength: -1 },
      xaxis: {
        ...axis, title: { text: "epoch", standoff: 6, font: { color: soft, size: 12 } }, hoverformat: "d",
        range: [0.5, Math.max(run.status === "finished" ? records.length : run.epochs, 2) + 0.5], tickformat: "d", nticks: 6,
      },
      yaxis: { ...axis, tickformat: ".0%", range: [-0.02, 1.02], nticks: 6 },
      shapes: borders.map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: soft, width: 1, dash: "dot" } })),
    };
  };
  const drawChart = (name) => {
    const run = runs.get(name);
    const chart = charts.get(name);
    const records = curves.get(name)?.records ?? [];
    if (!run || !chart) return;
    set(chart.title, title(run));
    set(chart.said, run.status === "finished" ? `finished, ${run.epoch} epochs` : `${run.status}, epoch ${run.epoch} of ${run.epochs}`);
    const worst = run.worst ? ` Worst on validation now: ${run.worst.group} with ${percent(run.worst.accuracy)}.` : "";
    chart.plot.setAttribute("aria-label", `Accuracy of each group by epoch, ${title(run)}, after ${run.epoch} epochs.${worst}`);
    if (window.Plotly) Plotly.react(chart.plot, traces(run, records), layout(run, records), { displayModeBar: false, responsive: true });
  };
  const addChart = (name) => {
    const heading = make("strong");
    const said = make("span");
    const hide = make("button", { type: "button", className: "plain close", textContent: "Hide" });
    hide.addEventListener("click", () => {
      toggle(name);
      rows.get(name)?.open.focus({ preventScroll: true });  // else the keyboard would begin at the top again
    });
    const plot = make("div", { className: "plot" });
    plot.setAttribute("role", "img");
    const element = make("figure", {}, make("figcaption", {}, heading, said, hide), plot);
    hide.setAttribute("aria-label", `Hide the curves of ${title(runs.get(name))}`);
    charts.set(name, { element, plot, title: heading, said });
  };
  const dropChart = (name) => {
    const chart = charts.get(name);
    if (window.Plotly) Plotly.purge(chart.plot);
    chart.element.remove();
    charts.delete(name);
  };
  const shown = () => {
    const asked = inOrder().filter((run) => chosen.has(run.name));
    const free = inOrder().filter((run) => !chosen.has(run.name) && !closed.has(run.name));
    const running = free.filter((run) => run.status === "running");
    const already = free.filter((run) => run.status !== "running" && charts.has(run.name));  // what one looked at stays
    const latest = free.filter((run) => run.status !== "running" && !charts.has(run.name)).sort((a, b) => b.sign - a.sign);
    const room = Math.max(0, MOST_SHOWN - asked.length);
    return [...asked, ...[...running, ...already, ...latest].slice(0, room)].map((run) => run.name);
  };
  const arrange = () => {
    const wanted = shown();
    [...charts.keys()].filter((name) => !wanted.includes(name)).forEach(dropChart);
    wanted.filter((name) => !charts.has(name)).forEach((name) => { addChart(name); at("charts").append(charts.get(name).element); });
    at("curves").hidden = !wanted.length;
    rows.forEach((line, name) => line.open.setAttribute("aria-pressed", String(charts.has(name))));
    return wanted;
  };
  const drawLegend = (names) => {
    const groups = [...new Set(names.flatMap((name) => runs.get(name).groups))];
    const key = groups.join("\n") + root.dataset.theme;
    if (at("legend").dataset.key === key) return;
    at("legend").dataset.key = key;
    at("legend").replaceChildren(...groups.map((name) =>
      make("li", {}, make("span", { className: `key c${number(name) % 8}`, ariaHidden: "true" }), name)));
  };
  const toggle = (name) => {
    if (charts.has(name)) { chosen.delete(name); closed.add(name); } else { closed.delete(name); chosen.add(name); }
    refresh();
  };

  // --- news ---
  const get = async (address) => {
    const answer = await fetch(address, { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  };
  const learn = async (name) => {
    const known = curves.get(name) ?? { life: 0, records: [] };
    const run = runs.get(name);
    if (curves.has(name) && known.life === run.life && known.records.length === run.epoch) return;
    const query = new URLSearchParams({ run: name, start: known.records.length, life: known.life });
    const found = await get(`/curve.json?${query}`);
    curves.set(name, { life: found.life, records: [...known.records.slice(0, found.start), ...found.records] });
    drawChart(name);
  };
  const refresh = async () => {
    say(drawList());
    const names = arrange();
    drawLegend(names);
    await Promise.all(names.map((name) => learn(name).then(() => drawState(name))));
  };
  const drawn = new Map();  // what of a run its chart shows besides its curves
  const drawState = (name) => {
    const run = runs.get(name);
    const state = `${run.status} ${run.label} ${run.epochs} ${run.groups.join()}`;
    if (drawn.get(name) === state && charts.get(name)?.plot.classList.contains("js-plotly-plot")) return;
    drawn.set(name, state);
    drawChart(name);
  };
  const poll = async () => {
    try {
      const news = await get(`/news.json?since=${serial}`);
      if (news.serial < serial) { runs.clear(); serial = 0; return; }  // another server: everything anew
      serial = news.serial;
      clock = news.now - Date.now() / 1000;
      news.runs.forEach((run) => runs.set(run.name, run));
      const names = new Set(news.names);
      [...runs.keys()].filter((name) => !names.has(name)).forEach((name) => { runs.delete(name); rows.delete(name); curves.delete(name); });
      lost = 0;
      await refresh();
    } catch (error) {
      lost += 1;
      if (lost > 1) {
        set(at("now"), "Nothing is heard from the server any more: was `evenhand report --serve` ended?");
        at("now").classList.add("lost");
      }
    }
  };
  const again = async () => {
    if (!document.hidden) await poll();
    setTimeout(again, lost ? Math.min(POLL * 2 ** lost, 30000) : POLL);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  setInterval(() => { if (!document.hidden && !lost) runs.forEach((run) => { if (run.status !== "finished") fillRow(run); }); }, 1000);
  at("train").addEventListener("change", () => charts.forEach((_, name) => drawChart(name)));
  document.querySelectorAll("input[name=which]").forEach((input) => input.addEventListener("change", drawList));

  // --- theme, remembered together with the full page ---
  const wish = matchMedia("(prefers-color-scheme: dark)");
  const button = at("theme");
  const remembered = () => { try { return localStorage.getItem("evenhand-theme"); } catch { return null; } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : wish.matches);
  const themeChanged = () => {
    const other = isDark() ? "Light" : "Dark";
    button.textContent = other;
    button.setAttribute("aria-label", `Use the ${other.toLowerCase()} theme`);
    charts.forEach((_, name) => drawChart(name));
  };
  if (["light", "dark"].includes(remembered())) root.dataset.theme = remembered();
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("evenhand-theme", root.dataset.theme); } catch { /* for this view only */ }
    themeChanged();
  });
  wish.addEventListener("change", () => { if (!root.dataset.theme) themeChanged(); });
  themeChanged();
  again();
})();
