// The live console of one device: per-app colour and filter, text filter, pause. Keeps the last 5,000 lines.
"use strict";

(() => {
  const root = document.getElementById("console");
  const box = document.getElementById("console-lines");
  const apps = document.getElementById("console-app");
  const text = document.getElementById("console-text");
  const state = document.getElementById("console-state");
  const pause = document.getElementById("console-pause");
  const LINES_MAX = 5000;
  const COLOURS = ["#7fd6ca", "#9dc0ff", "#f2c66d", "#e7a3e0", "#a7dd8a", "#f0a389", "#8fd0f5", "#d6c08a"];
  const seen = new Map();
  let paused = false;
  let waiting = [];

  const fits = (line) => (!apps.value || line.app === apps.value) && (!text.value || line.text.toLowerCase().includes(text.value.toLowerCase()));

  function colour(app) {
    if (!seen.has(app)) {
      seen.set(app, COLOURS[seen.size % COLOURS.length]);
      apps.add(new Option(app, app));
    }
    return seen.get(app);
  }

  function show(lines) {
    const follow = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const part = document.createDocumentFragment();
    for (const [seconds, app, words] of lines) {
      const line = document.createElement("div");
      line.app = app;
      line.text = words;
      const time = document.createElement("i");
      time.textContent = seconds.toFixed(3).padStart(10) + " ";
      const name = document.createElement("b");
      name.textContent = app.padEnd(16) + " ";
      name.style.color = colour(app);
      line.append(time, name, words);
      line.hidden = !fits(line);
      part.append(line);
    }
    box.append(part);
    while (box.childElementCount > LINES_MAX) box.firstElementChild.remove();
    if (follow) box.scrollTop = box.scrollHeight;
  }

  function filter() {
    for (const line of box.children) line.hidden = !fits(line);
    box.scrollTop = box.scrollHeight;
  }

  apps.addEventListener("change", filter);
  text.addEventListener("input", filter);
  document.getElementById("console-clear").addEventListener("click", () => box.replaceChildren());
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    pause.textContent = paused ? "Go on" : "Pause";
    if (!paused) { show(waiting); waiting = []; }
  });

  kos.follow(root.dataset.source, (source) => {
    source.addEventListener("open", () => { state.textContent = "live"; box.replaceChildren(); });
    source.addEventListener("error", () => { state.textContent = "connection lost, trying again"; });
    source.addEventListener("lines", (event) => {
      const lines = JSON.parse(event.data);
      if (paused) waiting = waiting.concat(lines).slice(-LINES_MAX); else show(lines);
    });
  });
})();
