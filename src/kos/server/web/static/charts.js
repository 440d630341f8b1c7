// Charts of time series, each with the table behind it. A device's page asks which series there are; the page of all
// data names one place for each device. Asks anew every 10 s while the page is open.
"use strict";

(() => {
  const root = document.getElementById("charts");
  const span = document.getElementById("span");
  const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const charts = new Map(); // series of the device, or address of the points -> what is drawn
  const CHARTS_MAX = 40;
  const ROWS_MAX = 500; // newest points in the table
  const WIDTH_MIN = 200, HEIGHT = 170; // pixels
  const TOTAL = "device/memory_total"; // never changes: it is the height of what is used
  const DAY = 86400; // seconds
  const BYTES = /memory|storage|network|bytes/;
  let total = null; // bytes

  // Bytes for people; other numbers as they are, to `digits` after the point or in few digits.
  function format(name, value, digits) {
    if (value === null || value === undefined) return "";
    if (BYTES.test(name)) {
      for (const unit of ["B", "KiB", "MiB", "GiB"]) {
        if (Math.abs(value) < 1024 || unit === "GiB") return `${Number(value.toPrecision(3))} ${unit}`;
        value /= 1024;
      }
    }
    const unit = /temperature/.test(name) ? " °C" : "";
    if (digits !== undefined) return `${Number(value.toFixed(digits))}${unit}`;
    return `${Number.isInteger(value) ? value : Number(value.toPrecision(Math.abs(value) < 1000 ? 3 : 6))}${unit}`;
  }

  // How many digits after the point tell marks apart.
  function digits(marks) {
    const fits = (count) => marks.every((mark) => Math.abs(mark - Number(mark.toFixed(count))) < 10 ** -(count + 3));
    let count = 0;
    while (count < 6 && !fits(count)) count++;
    return count;
  }

  // Times are UTC, as everywhere on these pages: 17:30, with the day where it changes.
  const iso = (seconds) => new Date(seconds * 1000).toISOString();
  function clock(_plot, marks, _axis, _space, step) {
    let day = "";
    return marks.map((mark) => {
      const text = iso(mark), date = text.slice(5, 10);
      if (step >= DAY) return date;
      const time = text.slice(11, step < 60 ? 19 : 16), changed = date !== day;
      day = date;
      return changed ? `${time}\n${date}` : time;
    });
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
    const height = {
      ...axis, size: 70,
      values: (_plot, marks) => marks.map((mark) => format(name, mark, digits(marks))),
      ...(BYTES.test(name) ? { incrs: Array.from({ length: 50 }, (_, power) => 2 ** power) } : {}),
    };
    return {
      ...own, width: width(box), height: HEIGHT, cursor: { drag: { x: true, y: false } }, legend: { show: false },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"), axes: [{ ...axis, values: clock }, height],
      series: thinned ? [{}, plain, { stroke: tone("line") }, { stroke: tone("line") }] : [{}, plain],
      bands: thinned ? [{ series: [3, 2], fill: tone("line") }] : [],
    };
  }

  const width = (box) => Math.max(WIDTH_MIN, box.clientWidth);

  function element(tag, className, ...inside) {
    const made = document.createElement(tag);
    made.className = className;
    made.append(...inside);
    return made;
  }

  // A place for the series `name` in `box`, which has a heading already. `title` is what tells it from the others.
  function place(source, box, name, title) {
    const now = element("span", "now"), body = element("tbody", ""), head = element("thead", "");
    box.querySelector("h2").append(now);
    const table = element("table", "", element("caption", "hidden", `Values of ${title}`), head, body);
    const scrolls = element("div", "found", table);
    scrolls.tabIndex = 0;
    scrolls.setAttribute("role", "region");
    scrolls.setAttribute("aria-label", `Values of ${title}`);
    const picture = element("div", "picture");
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `${title}: nothing is drawn yet`);
    const values = element("details", "values", element("summary", "", "As a table", element("span", "hidden", ` of ${title}`)), scrolls);
    box.append(picture, values);
    const chart = { source, name, title, box, now, picture, values, head, body, plot: null, thinned: false, data: null };
    values.addEventListener("toggle", () => tabulate(chart));
    return chart;
  }

  function row(tag, texts) {
    const made = document.createElement("tr");
    for (const text of texts) {
      const cell = element(tag, "", text);
      if (tag === "th") cell.scope = "col";
      made.append(cell);
    }
    return made;
  }

  // Newest first; only where somebody looks.
  function tabulate(chart) {
    if (!chart.values.open || !chart.data) return;
    const { times, values, low, high } = chart.data;
    const show = (value) => format(chart.name, value);
    chart.head.replaceChildren(row("th", ["Time (UTC)", "Value", ...(chart.thinned ? ["Lowest", "Highest"] : [])]));
    const rows = [];
    for (let at = times.length - 1; at >= Math.max(0, times.length - ROWS_MAX); at--) {
      const time = iso(times[at] / 1000).slice(0, 19).replace("T", " ");
      rows.push(row("td", [time, show(values[at]), ...(chart.thinned ? [show(low[at]), show(high[at])] : [])]));
    }
    chart.body.replaceChildren(...rows);
  }

  function points(source, name) {
    const end = Date.now();
    const query = new URLSearchParams({ series: name, begin: end - Number(span.value), end });
    return kos.call("GET", `${source}?${query}`);
  }

  async function draw(chart) {
    const { source, name, title, box, picture, now } = chart;
    const data = chart.data = await points(source, name);
    box.classList.toggle("empty", !data.values.length);
    if (!data.values.length) return;
    const thinned = data.low.length > 0;
    const columns = [data.times.map((at) => at / 1000), data.values, ...(thinned ? [data.low, data.high] : [])];
    const least = Math.min(...(thinned ? data.low : data.values)), most = Math.max(...(thinned ? data.high : data.values));
    now.textContent = format(name, data.values.at(-1));
    picture.setAttribute("aria-label", `${title}: ${format(name, data.values.at(-1))} now, ${format(name, least)} to ${format(name, most)} in this time`);
    if (chart.plot && chart.thinned === thinned) chart.plot.setData(columns);
    else {
      chart.plot?.destroy();
      chart.thinned = thinned;
      chart.plot = new uPlot(options(name, picture, thinned), columns, picture);
    }
    tabulate(chart);
  }

  // The places that the page has, or one for each series that the device has sent.
  async function places() {
    if (!root.dataset.source) {
      for (const box of root.querySelectorAll(".chart")) {
        const { points: source, series } = box.dataset;
        if (!charts.has(source)) charts.set(source, place(source, box, series, `${series} of ${box.querySelector("h2").textContent}`));
      }
      return;
    }
    const names = await kos.call("GET", root.dataset.source);
    const source = root.dataset.source.replace(/series$/, "points");
    if (!names.length) { root.textContent = "This device has sent no data yet."; return; }
    if (!charts.size) root.textContent = "";
    if (names.includes(TOTAL)) total = (await points(source, TOTAL)).values.at(-1) ?? total;
    for (const name of names.filter((one) => one !== TOTAL).slice(0, CHARTS_MAX)) {
      if (charts.has(name)) continue;
      const box = element("section", "chart", element("h2", "", name));
      root.append(box);
      charts.set(name, place(source, box, name, name));
    }
  }

  async function load() {
    try {
      await places(); // every place first: a picture is as wide as its place, which the others make narrower
      for (const chart of charts.values()) await draw(chart);
      root.setAttribute("aria-busy", "false");
    } catch (error) { kos.toast(error.message, true); }
  }

  addEventListener("resize", () => { for (const { picture, plot } of charts.values()) plot?.setSize({ width: width(picture), height: HEIGHT }); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of charts.values()) { chart.plot?.destroy(); chart.plot = null; }
    load();
  });
  span.addEventListener("change", load);
  setInterval(() => { if (!document.hidden) load(); }, 10000);
  load();
})();
