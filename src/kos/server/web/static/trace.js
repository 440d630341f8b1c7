// The live trace of one device: a lane for each thread, arrows between apps, filters, a table, a file for Perfetto.
// Events come in Chrome's trace-event format and are kept as they came, so that the file is what was seen.
"use strict";

(() => {
  const part = (name) => document.getElementById(`trace-${name}`);
  const root = document.getElementById("trace");
  const canvas = part("line");
  const pen = canvas.getContext("2d");
  const EVENTS_MAX = 60000; // kept; the oldest go first
  const ROWS_MAX = 200; // in the table
  const SPANS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60]; // seconds
  const LANE = 26, GAP = 8, AXIS = 22, NAMES = 168;
  const COLOURS = ["call", "serve", "send", "connect", "wait", "failed"];

  const names = new Map(); // process -> app
  const introductions = []; // "M" events, for the file
  const lanes = new Map(); // "process/thread" -> { app, thread, pid, tid }
  const counts = new Map(); // app -> { events, cpu, lost, invalid }
  const arrows = new Map(); // id -> { from, to, back }
  let slices = []; // in the order in which they came
  let others = []; // what only the file holds
  let unfinished = []; // began and have not ended: all of them come with each message
  let span = SPANS.indexOf(2);
  let end = null; // microseconds at the right edge; null follows what comes
  let newest = 0, first = null, paused = false, waiting = [], kept = null, pointed = null, dirty = true, colours = {};

  const failed = (event) => event.args.status !== undefined && !["OK", "CREATED"].includes(event.args.status);
  const seconds = (at) => ((at - first) / 1e6).toFixed(4);
  const words = (event) => `${event.name} ${names.get(event.pid)} ${Object.values(event.args).join(" ")}`.toLowerCase();

  function fits(event) {
    const app = part("app").value, port = part("port").value, text = part("text").value.toLowerCase();
    const name = names.get(event.pid);
    return (!app || name === app || event.args.to === app || event.args.from === app)
      && (!port || event.args.port === port) && (!text || words(event).includes(text))
      && (part("waits").checked || event.cat !== "wait");
  }

  // --- what comes ---------------------------------------------------------------------------------------------------
  function option(select, value) {
    if (!value || [...select.options].some((one) => one.value === value)) return;
    const after = [...select.options].slice(1).find((one) => one.value > value);
    select.add(new Option(value, value), after ?? null);
  }

  function count(app) {
    if (!counts.has(app)) counts.set(app, { events: 0, cpu: null, lost: 0, invalid: 0 });
    return counts.get(app);
  }

  function take(event) {
    switch (event.ph) {
      case "M":
        introductions.push(event);
        if (event.name === "process_name") {
          names.set(event.pid, event.args.name);
          count(event.args.name);
          option(part("app"), event.args.name);
        } else {
          lanes.set(`${event.pid}/${event.tid}`, { pid: event.pid, tid: event.tid, thread: event.args.name });
        }
        return;
      case "C":
        if (event.name.startsWith("on processor")) count(names.get(event.pid)).cpu = Object.values(event.args)[0];
        others.push(event);
        return;
      case "s": case "f": {
        const arrow = arrows.get(event.id) ?? { back: event.name === "answer" };
        arrow[event.ph === "s" ? "from" : "to"] = event;
        arrows.set(event.id, arrow);
        others.push(event);
        return;
      }
    }
    count(names.get(event.pid)).events += 1;
    option(part("port"), event.args.port);
    slices.push(event);
    newest = Math.max(newest, event.ts + (event.dur ?? 0));
  }

  function receive(message) {
    const marked = kept ?? {};
    message.events.forEach(take);
    // Where time begins stays: what went on before we looked, and ends now, has a time before it.
    first ??= slices.length ? Math.min(...slices.map((one) => one.ts)) : null;
    // What has ended since it was told comes among the events, from the same moment on.
    const ended = new Set(message.events.filter((one) => one.ph === "X").map((one) => `${one.pid}/${one.tid}/${one.ts}`));
    unfinished = (message.unfinished ?? unfinished).filter((one) => names.has(one.pid) && !ended.has(`${one.pid}/${one.tid}/${one.ts}`));
    kept = unfinished.find((one) => one.pid === marked.pid && one.tid === marked.tid && one.ts === marked.ts) ?? kept;
    for (const [app, lost] of Object.entries(message.lost)) count(app).lost = lost;
    for (const [app, bad] of Object.entries(message.invalid)) count(app).invalid = bad;
    if (slices.length > EVENTS_MAX) slices = slices.slice(-EVENTS_MAX);
    if (others.length > 2 * EVENTS_MAX) others = others.slice(-2 * EVENTS_MAX);
    while (arrows.size > EVENTS_MAX) arrows.delete(arrows.keys().next().value);
    dirty = true;
  }

  // --- the picture --------------------------------------------------------------------------------------------------
  function window_() {
    const right = end ?? newest;
    return [right - SPANS[span] * 1e6, right];
  }

  function ordered() {
    const app = part("app").value;
    const near = new Set(app ? slices.filter((one) => [one.args.to, one.args.from].includes(app)).map((one) => one.pid) : []);
    return [...lanes.values()]
      .filter((lane) => !app || names.get(lane.pid) === app || near.has(lane.pid))
      .sort((a, b) => names.get(a.pid).localeCompare(names.get(b.pid)) || a.tid - b.tid);
  }

  const boxes = []; // what was drawn where: [left, right, top, event]

  function draw() {
    const [from, to] = window_();
    const drawn = ordered();
    const place = new Map(drawn.map((lane, index) => [`${lane.pid}/${lane.tid}`, AXIS + GAP / 2 + index * (LANE + GAP)]));
    const height = Math.max(180, AXIS + drawn.length * (LANE + GAP) + GAP);
    const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.style.height = `${height}px`;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const style = getComputedStyle(root);
    for (const name of COLOURS) colours[name] = style.getPropertyValue(`--trace-${name}`).trim();
    const ink = style.getPropertyValue("--ink").trim(), quiet = style.getPropertyValue("--quiet").trim(), line = style.getPropertyValue("--line").trim();
    const x = (at) => NAMES + (at - from) / (to - from) * (width - NAMES - 12);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.textBaseline = "middle";
    boxes.length = 0;
    grid(x, from, to, height, quiet, line);
    let before = null;
    drawn.forEach((lane, index) => {
      const top = AXIS + GAP / 2 + index * (LANE + GAP), app = names.get(lane.pid);
      pen.strokeStyle = line;
      pen.beginPath(); pen.moveTo(0, top + LANE + GAP / 2 + .5); pen.lineTo(width, top + LANE + GAP / 2 + .5); pen.stroke();
      pen.fillStyle = app === before ? quiet : ink;
      pen.font = app === before ? "12px system-ui, sans-serif" : "600 13px system-ui, sans-serif";
      pen.fillText(clip(app === before ? `  ${lane.thread}` : app, NAMES - 30), 14, top + LANE / 2);
      before = app;
    });
    pen.save();
    pen.beginPath(); pen.rect(NAMES, 0, width - NAMES, height); pen.clip();
    for (const one of unfinished) one.dur = Math.max(newest - one.ts, 0);
    const seen = [...slices, ...unfinished].filter((one) => one.ts <= to && one.ts + (one.dur ?? 0) >= from && fits(one)).sort((a, b) => a.ts - b.ts);
    for (const level of ["wait", "serve", "connect", "call", "send", undefined]) {
      for (const event of seen) if (event.cat === level || (level === undefined && event.ph === "i")) box(event, place, x);
    }
    const joined = [...arrows.values()].filter((one) => one.from && one.to && one.from.ts <= to && one.to.ts >= from);
    const shown = new Set(seen.map((one) => `${one.pid}/${one.tid}/${one.ts}`));
    const plain = !part("port").value && !part("text").value;
    for (const arrow of joined.slice(-3000)) {
      const known = (one) => shown.has(`${one.pid}/${one.tid}/${one.ts}`);
      if (plain || known(arrow.back ? arrow.to : arrow.from) || known(arrow.back ? arrow.from : arrow.to)) point(arrow, place, x, joined.length, ink, quiet);
    }
    pen.restore();
    if (!drawn.length) {
      pen.fillStyle = quiet; pen.font = "14px system-ui, sans-serif";
      pen.fillText("Waiting for the first event…", NAMES, height / 2);
    }
    canvas.setAttribute("aria-label", `Time line of ${drawn.length} threads over ${label(SPANS[span])}: ${seen.length} events, ${joined.length} arrows between apps. The table below has the same events.`);
    return seen;
  }

  function clip(text, room) {
    while (text.length > 3 && pen.measureText(text).width > room) text = `${text.slice(0, -2)}…`;
    return text;
  }

  function grid(x, from, to, height, quiet, line) {
    const raw = (to - from) / 8, power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].find((one) => one * power >= raw) * power;
    pen.font = "11px ui-monospace, monospace";
    const digits = Math.max(0, -Math.floor(Math.log10(step / 1e6)));
    for (let at = Math.ceil((from - first) / step) * step + first; at < to; at += step) {
      pen.strokeStyle = line; pen.beginPath(); pen.moveTo(Math.round(x(at)) + .5, AXIS); pen.lineTo(Math.round(x(at)) + .5, height); pen.stroke();
      pen.fillStyle = quiet; pen.fillText(`${((at - first) / 1e6).toFixed(digits)} s`, x(at) + 3, AXIS / 2);
    }
  }

  function box(event, place, x) {
    const top = place.get(`${event.pid}/${event.tid}`) ?? (event.tid === 0 ? [...place].find(([key]) => key.startsWith(`${event.pid}/`))?.[1] : undefined);
    if (top === undefined) return;
    const left = x(event.ts);
    if (event.ph === "i") {
      pen.fillStyle = event.name.endsWith("lost") ? colours.failed : colours.connect;
      pen.beginPath(); pen.moveTo(left, top); pen.lineTo(left + 5, top - 6); pen.lineTo(left - 5, top - 6); pen.fill();
      boxes.push([left - 5, left + 5, top - 7, 9, event]);
      return;
    }
    const inset = { wait: 10, serve: 1, connect: 3, call: 5, send: 7 }[event.cat];
    const size = LANE - 2 * inset, wide = Math.max(1.5, x(event.ts + event.dur) - left);
    pen.fillStyle = failed(event) ? colours.failed : colours[event.cat];
    pen.globalAlpha = event.cat === "serve" ? .55 : 1;
    pen.beginPath(); pen.roundRect(left, top + inset, wide, size, Math.min(3, wide / 2)); pen.fill();
    pen.globalAlpha = 1;
    if (event.ph === "B") { pen.fillRect(left + wide, top + LANE / 2 - 1, 6, 2); }
    if (event === kept || event === pointed) { pen.strokeStyle = getComputedStyle(root).color; pen.lineWidth = 1.5; pen.stroke(); pen.lineWidth = 1; }
    if (wide > 60 && event.cat !== "wait") {
      pen.fillStyle = event.cat === "serve" ? getComputedStyle(root).color : getComputedStyle(root).getPropertyValue("--card");
      pen.font = "11px system-ui, sans-serif";
      pen.fillText(clip(event.name, wide - 8), Math.max(left, NAMES) + 4, top + LANE / 2);
    }
    boxes.push([left - 2, left + wide + 2, top + inset, size, event]);
  }

  function point(arrow, place, x, many, ink, quiet) {
    const begin = place.get(`${arrow.from.pid}/${arrow.from.tid}`), stop = place.get(`${arrow.to.pid}/${arrow.to.tid}`);
    if (begin === undefined || stop === undefined) return;
    const down = stop > begin, x1 = x(arrow.from.ts), x2 = x(arrow.to.ts), y1 = begin + (down ? LANE : 0), y2 = stop + (down ? 0 : LANE);
    pen.strokeStyle = pen.fillStyle = arrow.back ? quiet : ink;
    pen.globalAlpha = (arrow.back ? .35 : .75) * (many > 400 ? .5 : 1);
    pen.lineWidth = arrow.back ? .8 : 1.2;
    pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke();
    const angle = Math.atan2(y2 - y1, x2 - x1), head = arrow.back ? 4 : 6;
    pen.beginPath(); pen.moveTo(x2, y2);
    for (const turn of [-.45, .45]) pen.lineTo(x2 - head * Math.cos(angle + turn), y2 - head * Math.sin(angle + turn));
    pen.fill();
    pen.globalAlpha = pen.lineWidth = 1;
  }

  // --- the tables ---------------------------------------------------------------------------------------------------
  const label = (time) => time < 1 ? `${time * 1000} ms` : `${time} s`;

  function cell(row, text, kind) {
    const made = row.insertCell();
    made.textContent = text;
    if (kind) made.className = kind;
  }

  let newer = []; // events of the rows

  function list(seen) {
    const rows = part("rows");
    newer = seen.slice(-ROWS_MAX).reverse();
    rows.replaceChildren(...newer.map((event) => {
      const row = document.createElement("tr");
      row.className = event === kept ? "kept" : "";
      cell(row, seconds(event.ts), "quiet");
      cell(row, names.get(event.pid));
      cell(row, event.name);
      cell(row, event.args.to ?? event.args.from ?? "");
      cell(row, event.ph === "X" && event.dur > .2 ? event.dur.toFixed(1) : "");
      cell(row, event.ph === "B" ? "goes on" : event.args.status ?? event.args.answer ?? "", failed(event) ? "bad" : "quiet");
      return row;
    }));
    part("shown").textContent = seen.length > newer.length ? `newest ${newer.length} of ${seen.length} in view` : `${seen.length} in view`;
    part("apps").replaceChildren(...[...counts].sort(([a], [b]) => a.localeCompare(b)).map(([app, all]) => {
      const row = document.createElement("tr");
      cell(row, app);
      cell(row, all.events);
      cell(row, all.cpu === null ? "" : `${all.cpu.toFixed(1)} %`);
      cell(row, all.lost + all.invalid, all.lost + all.invalid ? "bad" : "quiet");
      return row;
    }));
    part("span").textContent = label(SPANS[span]);
  }

  function describe(event) {
    const facts = Object.entries(event.args).map(([name, value]) => `${name} ${value}`).join(" · ");
    part("detail").textContent = `${seconds(event.ts)} s · ${names.get(event.pid)} · ${event.name}${event.ph === "B" ? " · goes on" : event.dur > .2 ? ` · ${event.dur.toFixed(1)} µs` : ""}${facts ? ` · ${facts}` : ""}`;
  }

  let listed = 0;
  function frame(now) {
    if (dirty && now - listed > 200) { // five pictures a second are enough to follow, and leave the reader's machine alone
      listed = now;
      dirty = false;
      list(draw());
    }
    requestAnimationFrame(frame);
  }

  // --- the reader's hands -------------------------------------------------------------------------------------------
  function look(change) { change(); dirty = true; listed = 0; }
  function freeze() { if (end === null) { end = newest; pausing(true); } }

  function pausing(on) {
    if (paused === on) return;
    paused = on;
    part("pause").setAttribute("aria-pressed", paused);
    part("pause").textContent = paused ? "Go on" : "Pause";
    if (paused) { end ??= newest; return; }
    end = null;
    waiting.forEach(receive);
    waiting = [];
  }

  part("pause").addEventListener("click", () => look(() => pausing(!paused)));
  part("earlier").addEventListener("click", () => look(() => { freeze(); end -= SPANS[span] * 5e5; }));
  part("later").addEventListener("click", () => look(() => { freeze(); end = Math.min(newest, end + SPANS[span] * 5e5); }));
  part("in").addEventListener("click", () => look(() => zoom(-1, .5)));
  part("out").addEventListener("click", () => look(() => zoom(1, .5)));
  for (const name of ["app", "port", "text", "waits"]) part(name).addEventListener("input", () => look(() => {}));
  part("clear").addEventListener("click", () => look(() => {
    slices = []; others = []; unfinished = []; arrows.clear(); waiting = []; kept = pointed = null; first = newest;
    for (const all of counts.values()) all.events = 0;
  }));
  part("save").addEventListener("click", () => {
    const text = JSON.stringify({ displayTimeUnit: "ns", traceEvents: [...introductions, ...slices, ...unfinished.map(({ dur, ...one }) => one), ...others] });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = `${root.dataset.name.replace(/[^\w.-]+/g, "_")}-trace.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });

  // The time at `share` of the width stays where it is.
  function zoom(by, share) {
    const [from, to] = window_(), at = from + (to - from) * share;
    const next = Math.min(SPANS.length - 1, Math.max(0, span + by));
    if (next === span) return;
    span = next;
    if (end !== null) end = at + SPANS[span] * 1e6 * (1 - share);
  }

  const under = (event) => {
    const place = canvas.getBoundingClientRect(), x = event.clientX - place.left, y = event.clientY - place.top;
    return boxes.findLast(([left, right, top, size]) => x >= left && x <= right && y >= top && y <= top + size)?.[4] ?? null;
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const share = (event.offsetX - NAMES) / (canvas.clientWidth - NAMES - 12);
    look(() => { freeze(); zoom(Math.sign(event.deltaY), Math.min(1, Math.max(0, share))); });
  }, { passive: false });
  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => { dragged = { x: event.clientX, end: end ?? newest, moved: false }; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged && Math.abs(event.clientX - dragged.x) > 3) {
      dragged.moved = true;
      look(() => { freeze(); end = Math.min(newest, dragged.end - (event.clientX - dragged.x) / (canvas.clientWidth - NAMES) * SPANS[span] * 1e6); });
      return;
    }
    const found = under(event);
    if (found !== pointed) look(() => { pointed = found; if (found ?? kept) describe(found ?? kept); });
  });
  canvas.addEventListener("pointerup", (event) => {
    if (dragged && !dragged.moved) look(() => { kept = under(event); if (kept) { freeze(); describe(kept); } });
    dragged = null;
  });
  addEventListener("resize", () => look(() => {}));

  // In the table: a click, or the arrow keys, choose an event and stop the picture.
  function choose(event) {
    look(() => { freeze(); kept = event; describe(event); });
  }
  part("rows").addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row) choose(newer[row.sectionRowIndex]);
  });
  part("events").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !newer.length) return;
    event.preventDefault();
    const at = newer.indexOf(kept), next = Math.min(newer.length - 1, Math.max(0, at < 0 ? 0 : at + step));
    choose(newer[next]);
    part("rows").rows[next]?.scrollIntoView({ block: "nearest" });
  });

  // --- the stream ---------------------------------------------------------------------------------------------------
  // EventSource does not tell why it was refused: ask once more for the reason.
  async function reason() {
    const stop = new AbortController();
    const answer = await fetch(root.dataset.source, { signal: stop.signal });
    const problem = answer.ok ? null : await answer.json();
    stop.abort();
    return problem;
  }

  const say = (problem) => { part("state").textContent = [problem.detail, problem.hint].filter(Boolean).join(": "); };

  function follow() {
    const source = new EventSource(root.dataset.source);
    const again = () => { source.close(); setTimeout(follow, 3000); };
    source.addEventListener("hello", () => { part("state").textContent = "live"; });
    source.addEventListener("trace", (event) => {
      const message = JSON.parse(event.data);
      if (paused) waiting = [...waiting, message].slice(-2000); else receive(message);
    });
    source.addEventListener("stopped", (event) => { say(JSON.parse(event.data)); again(); });
    source.addEventListener("error", async () => {
      source.close();
      try { const problem = await reason(); if (problem) say(problem); else part("state").textContent = "connection lost, trying again"; }
      catch { part("state").textContent = "no server, trying again"; }
      again();
    });
  }
  follow();
  requestAnimationFrame(frame);
})();
