// Every page: forms and buttons that speak to the API, notices from the server, messages to the reader.
"use strict";

const kos = {
  csrf: document.querySelector("meta[name=csrf]").content,

  toast(text, bad) {
    const box = document.createElement("div");
    box.className = bad ? "toast bad" : "toast";
    box.textContent = text;
    document.getElementById("toasts").append(box);
    setTimeout(() => box.remove(), bad ? 9000 : 4000);
  },

  // Call the API; an answer that is a problem becomes an Error with its detail and hint.
  async call(method, path, body, type) {
    const headers = { "x-csrf-token": kos.csrf, accept: "application/json" };
    if (body !== undefined) headers["content-type"] = type || "application/json";
    const payload = body === undefined || type ? body : JSON.stringify(body);
    const answer = await fetch(path, { method, headers, body: payload });
    const text = await answer.text();
    const data = text ? JSON.parse(text) : null;
    if (!answer.ok) {
      const error = new Error([data?.detail || data?.title || answer.statusText, data?.hint].filter(Boolean).join(": "));
      error.problem = data;
      throw error;
    }
    return data;
  },

  // Names and values of a form as JSON. data-type says what a field is.
  values(form) {
    const result = {};
    for (const field of form.elements) {
      if (!field.name || field.disabled) continue;
      let value = field.value;
      switch (field.dataset.type) {
        case "number": value = value === "" ? null : Number(value); break;
        case "words": value = value.split(/[\s,]+/).filter(Boolean); break;
        case "numbers": value = [...field.selectedOptions].map((option) => Number(option.value)); break;
        case "window": value = value === "" ? null : value.split("-").map((time) => time.split(":").reduce((hours, minutes) => Number(hours) * 60 + Number(minutes))); break;
        case "flag": value = field.checked; break;
        case "json": value = value.trim() ? JSON.parse(value) : {}; break;
      }
      if (field.dataset.optional !== undefined && (value === "" || value === null)) continue;
      const path = field.name.split(".");
      let place = result;
      for (const key of path.slice(0, -1)) place = place[key] ??= {};
      place[path.at(-1)] = value;
    }
    return result;
  },

  async act(element, body) {
    if (element.dataset.confirm && !window.confirm(element.dataset.confirm)) return;
    const [method, path] = element.dataset.api.split(" ");
    try {
      const answer = await kos.call(method, path, body);
      if (element.dataset.show) {
        const box = document.querySelector(element.dataset.show);
        box.textContent = typeof answer === "string" ? answer : Object.entries(answer).map(([key, value]) => `${key}: ${value}`).join("\n");
        box.hidden = false;
      } else if (element.dataset.then) {
        window.location = element.dataset.then.replace(/\{(\w+)\}/g, (_, key) => encodeURIComponent(answer[key]));
      } else if (element.dataset.done) {
        kos.toast(element.dataset.done);
      } else {
        document.body.dispatchEvent(new CustomEvent("live-device"));
        document.body.dispatchEvent(new CustomEvent("live-rollout"));
        if (element.dataset.reload !== undefined) window.location.reload();
      }
    } catch (error) {
      element.dispatchEvent(new CustomEvent("refused", { detail: error.problem, bubbles: true }));
      kos.toast(error.message, true);
    }
  },
};

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.api) return;
  event.preventDefault();
  try { kos.act(form, kos.values(form)); } catch (error) { kos.toast(error.message, true); }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-api]");
  if (button) kos.act(button);
});

// A file goes up as it is: no form around it, so that its size is known and its bytes are counted.
document.addEventListener("change", async (event) => {
  const field = event.target;
  if (!field.dataset.upload || !field.files.length) return;
  kos.toast(`Uploading ${field.files[0].name}…`);
  try {
    const answer = await kos.call("POST", field.dataset.upload, field.files[0], "application/zip");
    window.location = `/releases/${answer.id}`;
  } catch (error) { kos.toast(error.message, true); }
  field.value = "";
});

// In a narrow window each row of a table is a card: each cell says what it is, and stays a cell to a screen reader,
// though it is not laid out as one. The trace's tables are for wide windows, and a chart's are narrow anyway.
const ROLES = { TABLE: "table", THEAD: "rowgroup", TBODY: "rowgroup", TR: "row", TH: "columnheader", TD: "cell" };
function label() {
  for (const table of document.querySelectorAll("main table")) {
    if (table.closest("#trace, #charts") || !table.tHead) continue;
    if (!table.classList.contains("cards")) {
      table.classList.add("cards");
      for (const one of [table, ...table.querySelectorAll("thead, tbody, thead tr, th")]) one.setAttribute("role", ROLES[one.tagName]);
    }
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.querySelector(".hidden") ? "" : cell.textContent.trim());
    for (const row of table.querySelectorAll("tbody > tr:not([role])")) {
      row.setAttribute("role", ROLES.TR);
      [...row.cells].forEach((cell, column) => {
        cell.setAttribute("role", ROLES.TD);
        cell.dataset.label = names[column] ?? "";
        cell.classList.toggle("blank", !cell.textContent.trim() && !cell.querySelector("input, button, meter, progress, svg"));
      });
    }
  }
}
new MutationObserver(label).observe(document.getElementById("main"), { childList: true, subtree: true });
label();

// A table that is wider than the window can be scrolled with the keyboard too.
function reachable() {
  for (const card of document.querySelectorAll(".card.flush")) {
    if (card.scrollWidth > card.clientWidth) card.tabIndex = 0; else card.removeAttribute("tabindex");
  }
}
addEventListener("resize", reachable);
document.addEventListener("htmx:afterSettle", reachable);
reachable();

// A part of the page that is asked for anew: where nothing is new it stays, and with it what the reader has marked
// or scrolled; where something is new, what the reader had opened stays open, and the keyboard stays where it was.
const shown = new Map(); // id of the part -> the answer that is shown
const left = new Map(); // id of the part -> ids of what is open in it, and what the keyboard is on, as it looks
const looks = (one) => [one.tagName, one.getAttribute("href"), one.dataset.api, one.getAttribute("aria-label"), one.textContent.trim()].join("|");
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse, xhr } = event.detail;
  if (xhr.status !== 200 || !target.id) return;
  if (pressed && target.contains(pressed)) { event.detail.shouldSwap = false; late = true; return; }
  if (shown.get(target.id) === serverResponse) { event.detail.shouldSwap = false; return; }
  shown.set(target.id, serverResponse);
  const open = [...target.querySelectorAll("details[open][id]")].map((one) => one.id);
  left.set(target.id, { open, on: target.contains(document.activeElement) ? looks(document.activeElement) : null });
});
document.addEventListener("htmx:afterSettle", ({ target }) => {
  const { open, on } = left.get(target.id) ?? { open: [], on: null };
  left.delete(target.id);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (on === null || document.activeElement !== document.body) return;
  [...target.querySelectorAll("a, button, summary, input, select")].find((one) => looks(one) === on)?.focus({ preventScroll: true });
});

// What a pointer is pressed on stays until it is let go, or the click would be lost; the answer is asked for again.
let pressed = null, late = false;
addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
for (const kind of ["pointerup", "pointercancel"]) {
  addEventListener(kind, () => {
    pressed = null;
    if (late) setTimeout(() => ["device", "rollout"].forEach((topic) => document.body.dispatchEvent(new CustomEvent(`live-${topic}`))));
    late = false;
  }, true);
}

// Many notices become few questions, and the last notice is never left out.
const LIVE_EVERY = document.getElementById("devices") ? 1000 : 500; // ms; the list of a whole fleet costs more
const asked = new Map(); // topic -> when it may be told again
function tell(topic) {
  const wait = (asked.get(topic) ?? 0) - Date.now();
  if (wait > LIVE_EVERY) return; // one is on its way
  asked.set(topic, Date.now() + Math.max(0, wait) + LIVE_EVERY);
  setTimeout(() => document.body.dispatchEvent(new CustomEvent(`live-${topic}`)), Math.max(0, wait));
}

// A page that could not be made is asked for again once the server can.
if (document.querySelector("[data-until-ready]")) {
  setInterval(async () => {
    const answer = await fetch("/readyz").catch(() => null);
    if (answer?.ok) window.location.reload();
  }, 2000);
}

// The browser itself takes a lost connection up again, but not one that the server refused for the moment.
kos.follow = (path, begin) => {
  const source = new EventSource(path);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => kos.follow(path, begin), 3000);
  });
  begin(source);
};

if (document.body.dataset.live) kos.follow(document.body.dataset.live, (source) => {
  // What happened while the page was loading, or the connection was lost, is asked for at once.
  source.addEventListener("hello", () => {
    for (const topic of ["device", "rollout"]) tell(topic);
  });
  for (const topic of ["device", "rollout"]) {
    source.addEventListener(topic, (event) => {
      const notice = JSON.parse(event.data);
      const here = document.querySelector("[data-device]");
      if (topic === "device" && here && notice.device && notice.device !== here.dataset.device) return;
      tell(topic);
    });
  }
});
