// One chart for each series of a device. Asks anew every 10 s while the page is open.
"use strict";

(() => {
  const root = document.getElementById("charts");
  const span = document.getElementById("span");
  const style = getComputedStyle(document.documentElement);
  const tone = (name) => style.getPropertyValue(`--${name}`).trim();
  const charts = new Map();
  const CHARTS_MAX = 40;
  const TOTAL = "device/memory_total"; // never changes: it is the height of what is used
  let total = null; // bytes

  // Bytes for people; other numbers as they are, in few digits.
  function format(name, value) {
    if (value === null || value === undefined) return "";
    if (/memory|storage|network|bytes/.test(name)) {
      for (const unit of ["B", "KiB", "MiB", "GiB"]) {
        if (Math.abs(value) < 1024 || unit === "GiB") return `${Number(value.toPrecision(3))} ${unit}`;
        value /= 1024;
      }
    }
    const unit = /temperature/.test(name) ? " °C" : "";
    return `${Number.isInteger(value) ? value : Number(value.toPrecision(3))}${unit}`;
  }

  // What a device says of itself is an amount: it is seen against nothing, or against all that there is.
  function range(name, low, high) {
    if (name === "device/healthy" || name === "device/online") return [0, 1];
    const most = name === "device/memory_used" ? total ?? high : high;
    return [Math.min(0, low), Math.max(most * 1.08, low + 1e-9)];
  }

  function options(name, box, thinned) {
    const own = name.startsWith("device/") ? { scales: { y: { range: (_, low, high) => range(name, low, high) } } } : {};
    const axis = { stroke: tone("quiet"), grid: { stroke: tone("line"), width: 1 }, ticks: { stroke: tone("line") } };
    const plain = { label: name, stroke: tone("accent"), fill: thinned ? undefined : `${tone("accent")}1c`, width: 1.8, points: { show: false } };
    return {
      ...own, width: Math.max(280, box.clientWidth), height: 170, cursor: { drag: { x: true, y: false } },
      legend: { show: false }, axes: [axis, { ...axis, size: 70, values: (_, marks) => marks.map((mark) => format(name, mark)) }],
      series: thinned ? [{}, plain, { stroke: tone("line") }, { stroke: tone("line") }] : [{}, plain],
      bands: thinned ? [{ series: [3, 2], fill: tone("line") }] : [],
    };
  }

  function make(name) {
    const box = document.createElement("section");
    box.className = "chart";
    const title = document.createElement("h2");
    title.textContent = name;
    const now = document.createElement("span");
    now.className = "now";
    title.append(now);
    box.append(title);
    root.append(box);
    return { box, now, plot: null, thinned: false };
  }

  function points(name) {
    const end = Date.now();
    const query = new URLSearchParams({ series: name, begin: end - Number(span.value), end });
    return kos.call("GET", `${root.dataset.source.replace(/series$/, "points")}?${query}`);
  }

  // Every place first: a picture is as wide as its place, which the others make narrower.
  function places(names) {
    for (const name of names) if (!charts.has(name)) charts.set(name, make(name));
  }

  async function draw(name) {
    const data = await points(name);
    const chart = charts.get(name);
    chart.box.classList.toggle("empty", !data.values.length);
    if (!data.values.length) return;
    const thinned = data.low.length > 0;
    const columns = [data.times.map((at) => at / 1000), data.values, ...(thinned ? [data.low, data.high] : [])];
    chart.now.textContent = format(name, data.values.at(-1));
    chart.box.setAttribute("aria-label", `${name}: ${format(name, data.values.at(-1))} now, ${format(name, Math.min(...data.values))} to ${format(name, Math.max(...data.values))} in this time`);
    if (chart.plot && chart.thinned === thinned) { chart.plot.setData(columns); return; }
    chart.plot?.destroy();
    chart.thinned = thinned;
    chart.plot = new uPlot(options(name, chart.box, thinned), columns, chart.box);
  }

  async function load() {
    try {
      const names = await kos.call("GET", root.dataset.source);
      if (!names.length) { root.textContent = "This device has sent no data yet."; return; }
      if (!charts.size) root.textContent = "";
      const drawn = names.filter((name) => name !== TOTAL).slice(0, CHARTS_MAX);
      if (names.includes(TOTAL)) total = (await points(TOTAL)).values.at(-1) ?? total;
      places(drawn);
      for (const name of drawn) await draw(name);
    } catch (error) { kos.toast(error.message, true); }
  }

  addEventListener("resize", () => { for (const { box, plot } of charts.values()) plot?.setSize({ width: Math.max(280, box.clientWidth), height: 170 }); });
  span.addEventListener("change", load);
  setInterval(() => { if (!document.hidden) load(); }, 10000);
  load();
})();
