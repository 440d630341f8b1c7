// The system graph of one device: apps by state, message servers, arrows from client to server. Also as a list.
"use strict";

(() => {
  const box = document.getElementById("graph");
  const list = document.getElementById("graph-text");
  const style = getComputedStyle(document.documentElement);
  const tone = (name) => style.getPropertyValue(`--${name}`).trim();
  const COLOURS = { running: "good", ready: "good", failed: "bad", crashed: "bad", degraded: "bad", stopped: "quiet", starting: "warn", backoff: "warn" };
  let graph = null;

  function elements(data) {
    const result = [];
    for (const [name, app] of Object.entries(data.apps)) {
      result.push({ data: { id: name, label: name, colour: tone(COLOURS[app.state] || "quiet"), state: app.state } });
    }
    for (const edge of data.edges) {
      result.push({ data: { id: `${edge.client} ${edge.port} ${edge.server}`, source: edge.client, target: edge.server, label: edge.port.replace(/^kos_|_protocol$/g, "") } });
    }
    return result;
  }

  function text(data) {
    const rows = data.edges.map((edge) => `${edge.client} uses ${edge.port} of ${edge.server}`);
    list.replaceChildren();
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = `${Object.keys(data.apps).length} apps, ${rows.length} connections, as text`;
    const items = document.createElement("ul");
    for (const row of rows) {
      const item = document.createElement("li");
      item.textContent = row;
      items.append(item);
    }
    details.append(summary, items);
    list.append(details);
  }

  function draw(data) {
    text(data);
    if (graph && graph.nodes().length === Object.keys(data.apps).length) {
      for (const [name, app] of Object.entries(data.apps)) graph.getElementById(name).data("colour", tone(COLOURS[app.state] || "quiet"));
      return;
    }
    graph?.destroy();
    graph = cytoscape({
      container: box,
      elements: elements(data),
      minZoom: 0.3, maxZoom: 2.5, wheelSensitivity: 0.3,
      layout: { name: "breadthfirst", directed: true, spacingFactor: 1.1, padding: 24, avoidOverlap: true },
      style: [
        { selector: "node", style: { label: "data(label)", shape: "round-rectangle", width: "label", height: 34, padding: "12px", "text-valign": "center", color: tone("ink"), "background-color": tone("card"), "border-width": 3, "border-color": "data(colour)", "font-size": 14, "font-family": "system-ui, sans-serif" } },
        { selector: "edge", style: { label: "data(label)", width: 1.6, "curve-style": "bezier", "target-arrow-shape": "triangle", "line-color": tone("quiet"), "target-arrow-color": tone("quiet"), "font-size": 11, color: tone("quiet"), "text-background-color": tone("card"), "text-background-opacity": 1, "text-background-padding": "2px" } },
      ],
    });
  }

  async function load() {
    try { draw(await kos.call("GET", box.dataset.source)); } catch (error) { list.textContent = error.message; }
  }

  document.body.addEventListener("live-device", load);
  load();
})();
