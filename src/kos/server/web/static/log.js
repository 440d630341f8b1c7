// Search of a device's stored console lines, page by page.
"use strict";

(() => {
  const form = document.getElementById("log-search");
  const body = document.getElementById("log-found");
  const more = document.getElementById("log-more");
  const told = document.getElementById("log-told");
  let last = 0;

  function row(line) {
    const made = document.createElement("tr");
    for (const text of [new Date(line.at).toISOString().slice(0, 19).replace("T", " "), line.app, line.text]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      made.append(cell);
    }
    return made;
  }

  async function search(before) {
    const query = new URLSearchParams({ ...kos.values(form), limit: 100, before });
    try {
      const lines = await kos.call("GET", `${form.dataset.source}?${query}`);
      if (!before) body.replaceChildren();
      body.append(...lines.map(row));
      last = lines.at(-1)?.id ?? 0;
      more.hidden = lines.length < 100;
      document.getElementById("log-table").hidden = !body.childElementCount;
      told.textContent = body.childElementCount ? `${body.childElementCount} lines, newest first` : "No such line is stored.";
    } catch (error) { kos.toast(error.message, true); }
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); search(0); });
  more.addEventListener("click", () => search(last));
})();
