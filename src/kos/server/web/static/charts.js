// One chart for each series of a device. Asks anew every 10 s while the page is open.
"use strict";

(() => {
  const root = document.getElementById("charts");
  const span = document.getElementById("span");
  const style = getComputedStyle(document.documentElement);
  const tone = (name) => style.getPropertyValue(`--${name}`).trim();
  const charts = new Map();

  function options(name) {
    const axis = { stroke: tone("quiet"), grid: { stroke: tone("line"), width: 1 }, ticks: { stroke: tone("line") } };
    return {
      width: Math.max(320, root.clientWidth), height: 170, cursor: { drag: { x: true, y: false } },
      legend: { show: true }, axes: [axis, { ...axis, size: 70 }],
      series: [{}, { label: name, stroke: tone("accent"), width: 1.8, points: { show: false } }, { label: "low", stroke: tone("line") }, { label: "high", stroke: tone("line") }],
      bands: [{ series: [3, 2], fill: tone("line") }],
    };
  }

  async function draw(name) {
    const end = Date.now();
    const query = new URLSearchParams({ series: name, begin: end - Number(span.value), end });
    const data = await kos.call("GET", `${root.dataset.source.replace(/series$/, "points")}?${query}`);
    const columns = [data.times.map((at) => at / 1000), data.values, data.low.length ? data.low : data.values.map(() => null), data.high.length ? data.high : data.values.map(() => null)];
    let chart = charts.get(name);
    if (!chart) {
      const box = document.createElement("div");
      box.className = "chart";
      const title = document.createElement("h3");
      title.textContent = name;
      box.append(title);
      root.append(box);
      chart = new uPlot(options(name), columns, box);
      charts.set(name, chart);
    } else chart.setData(columns);
  }

  async function load() {
    try {
      const names = await kos.call("GET", root.dataset.source);
      if (!names.length) { root.textContent = "This device has sent no data yet."; return; }
      for (const name of names.slice(0, 40)) await draw(name);
    } catch (error) { kos.toast(error.message, true); }
  }

  span.addEventListener("change", load);
  setInterval(() => { if (!document.hidden) load(); }, 10000);
  load();
})();
