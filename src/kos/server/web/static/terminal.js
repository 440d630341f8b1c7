// A terminal into a running app: lines of a Python shell, or the bytes of a guest's console, over one WebSocket.
"use strict";

// One stream. Bytes that the terminal has shown are granted again, so that a slow page slows the app and not itself.
class AppStream {
  constructor(path, { opened, received, closed }) {
    this.closed = closed;
    this.allowed = 0;
    this.waiting = [];
    this.ended = false;
    this.socket = new WebSocket(new URL(path, location.href.replace(/^http/, "ws")));
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("message", ({ data }) => {
      if (data instanceof ArrayBuffer) { received(new Uint8Array(data)); return; }
      const said = JSON.parse(data);
      if (said.open) { this.allowed = said.open.window; opened(said.open); }
      if (said.more) { this.allowed += said.more; this.flush(); }
      if (said.closed !== undefined) this.finish([said.closed, said.hint].filter(Boolean).join(". Hint: "));
    });
    this.socket.addEventListener("close", () => this.finish("the server closed it, or does not let you"));
  }

  finish(reason) {
    if (!this.ended) { this.ended = true; this.socket.close(); this.closed(reason); }
  }

  send(text) {
    const bytes = new TextEncoder().encode(text);
    for (let start = 0; start < bytes.length; start += 4096) this.waiting.push(bytes.slice(start, start + 4096));
    this.flush();
  }

  flush() {
    while (this.waiting.length && this.waiting[0].length <= this.allowed) {
      this.allowed -= this.waiting[0].length;
      this.socket.send(this.waiting.shift());
    }
  }

  more(count) { if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ more: count })); }
}

// What an app prints may not steer the terminal: only line ends and tabs pass.
const harmless = (text) => text.replace(/[^\P{C}\n\t]/gu, "�").replace(/\n/g, "\r\n");

// The line that is being edited: cursor, history, completion. It knows the terminal and nothing of the app.
class LineEditor {
  constructor(terminal, { run, interrupt, complete, leave }) {
    Object.assign(this, { terminal, run, interrupt, complete, leave, line: "", at: 0, prompt: "", history: [], place: 0, pasted: [], ready: false });
  }

  begin(prompt) {
    this.prompt = prompt;
    this.ready = true;
    this.line = ""; this.at = 0; this.place = this.history.length;
    this.terminal.write(prompt);
    if (this.pasted.length) this.type(this.pasted.shift());
  }

  show() {
    this.terminal.write("\r\x1b[K" + this.prompt + this.line + (this.line.length > this.at ? `\x1b[${this.line.length - this.at}D` : ""));
  }

  set(line) { this.line = line; this.at = line.length; this.show(); }

  insert(text) {
    this.line = this.line.slice(0, this.at) + text + this.line.slice(this.at);
    this.at += text.length;
    this.show();
  }

  enter() {
    this.terminal.write("\r\n");
    this.ready = false;
    if (this.line.trim() && this.history.at(-1) !== this.line) this.history.push(this.line);
    this.run(this.line);
  }

  // What came from the keyboard or the clipboard. Of several lines, each waits for the prompt of the one before.
  type(text) {
    const [first, ...rest] = text.split(/\r\n|\r|\n/);
    if (rest.length) {
      if (!this.ready) { this.pasted.push(text); return; }
      if (first) this.insert(harmless(first));
      this.pasted.unshift(rest.join("\r"));
      if (!this.pasted[0]) this.pasted.shift();
      this.enter();
      return;
    }
    this.key(text);
  }

  key(key) {
    if (key === "\x03") { this.pasted = []; this.terminal.write("^C"); this.interrupt(); return; }
    if (!this.ready) { if (key >= " ") this.pasted.push(key); return; }
    switch (key) {
      case "\x04": if (!this.line) this.leave(); return;
      case "\t": this.line.slice(0, this.at).trim() ? this.complete(this.word()) : this.insert("    "); return;
      case "\x7f": case "\b": if (this.at) { this.line = this.line.slice(0, this.at - 1) + this.line.slice(this.at); this.at--; this.show(); } return;
      case "\x1b[3~": this.line = this.line.slice(0, this.at) + this.line.slice(this.at + 1); this.show(); return;
      case "\x1b[D": if (this.at) { this.at--; this.show(); } return;
      case "\x1b[C": if (this.at < this.line.length) { this.at++; this.show(); } return;
      case "\x1b[A": if (this.place) this.set(this.history[--this.place]); return;
      case "\x1b[B": if (this.place < this.history.length) this.set(this.history[++this.place] ?? ""); return;
      case "\x01": case "\x1b[H": this.at = 0; this.show(); return;
      case "\x05": case "\x1b[F": this.at = this.line.length; this.show(); return;
      case "\x15": this.line = this.line.slice(this.at); this.at = 0; this.show(); return;
      case "\x0b": this.line = this.line.slice(0, this.at); this.show(); return;
      case "\x0c": this.terminal.clear(); return;
    }
    if (key >= " " && !key.startsWith("\x1b")) this.insert(harmless(key));
  }

  word() { return this.line.slice(0, this.at).match(/[\w.]*$/)[0]; }

  completed(found, of) {
    if (!found.length || this.word() !== of) return;
    let common = found[0];
    for (const one of found) while (!one.startsWith(common)) common = common.slice(0, -1);
    if (common.length > of.length) { this.insert(common.slice(of.length)); return; }
    if (found.length > 1) { this.terminal.write("\r\n" + found.map(harmless).join("  ") + "\r\n"); this.show(); }
  }
}

// A Python shell: JSON objects, a line each.
function shell(terminal, stream, leave) {
  const wish = (members) => stream.send(JSON.stringify(members) + "\n");
  const editor = new LineEditor(terminal, {
    run: (line) => wish({ run: line }), interrupt: () => wish({ interrupt: true }), complete: (text) => wish({ complete: text }), leave,
  });
  const decoder = new TextDecoder();
  let rest = "";
  return {
    type: (text) => editor.type(text),
    interrupt: () => editor.key("\x03"),
    receive(bytes) {
      rest += decoder.decode(bytes, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const said = JSON.parse(line);
        if (said.banner) terminal.write(`\x1b[2m${harmless(said.banner)}. Ctrl-C interrupts, Tab completes, Ctrl-D leaves.\x1b[0m\r\n`);
        if (said.out) terminal.write(harmless(said.out));
        if (said.completions) editor.completed(said.completions, said.of);
        if (said.prompt) editor.begin(said.prompt);
      }
    },
  };
}

// A guest's console: bytes, as they are.
function guest(terminal, stream) {
  return { type: (text) => stream.send(text), interrupt: () => stream.send("\x03"), receive: (bytes) => terminal.write(bytes) };
}

(() => {
  const root = document.getElementById("debug");
  const part = (name) => document.getElementById(`debug-${name}`);
  const [choice, open, interrupt, close, state, help] = ["app", "open", "interrupt", "close", "state", "help"].map(part);
  const place = document.getElementById("terminal");
  const WORDS = { shell: "Python shell", gdb: "gdb", console: "guest's console" };
  let apps = {};
  let stream = null;
  let terminal = null;
  let fit = null;
  let session = null;

  async function look() {
    try {
      apps = await kos.call("GET", root.dataset.source);
    } catch (error) {
      state.textContent = error.message;
      return;
    }
    const names = Object.keys(apps).sort();
    part("none").hidden = names.length > 0;
    choice.replaceChildren(...names.map((name) => new Option(`${name} · ${WORDS[apps[name].kind]}`, name)));
    choice.disabled = !names.length;
    if (!names.length) choice.add(new Option("none is open"));
    choose();
  }

  // The device hears a moment later than we that nobody looks any more.
  async function again(name, reason, tries) {
    await look();
    if (!stream) choice.value = name;
    choose();
    state.textContent = `closed: ${reason}`;
    if (apps[name]?.who && tries) setTimeout(() => again(name, reason, tries - 1), 300); else open.focus();
  }

  function choose() {
    const app = apps[choice.value];
    const gdb = app?.kind === "gdb";
    open.hidden = gdb;
    open.disabled = !app || !app.running || !app.allowed || app.who !== null;
    part("gdb").hidden = !gdb || stream !== null;
    if (gdb) part("gdb-command").textContent = `kos-tool toolbox.debug ${choice.value} --device ${root.dataset.deviceId} --server ${location.origin}`;
    if (!app) state.textContent = "";
    else if (!app.running) state.textContent = `${choice.value} is not running`;
    else if (!app.allowed) state.textContent = "your role may not open it";
    else state.textContent = app.who ? `${app.who} looks into it now` : "";
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { background: of("--code"), foreground: of("--code-ink"), cursor: "#7fd6ca", cursorAccent: of("--code"), selectionBackground: "#2bb5a655" };
  }

  function start() {
    const app = apps[choice.value];
    const name = choice.value;
    place.hidden = false;
    part("gdb").hidden = true;
    if (!terminal) {
      terminal = new Terminal({ screenReaderMode: true, cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches, fontSize: 13, lineHeight: 1.25,
        fontFamily: 'ui-monospace, "DejaVu Sans Mono", Menlo, monospace', theme: colours(), scrollback: 5000 });
      fit = new FitAddon.FitAddon();
      terminal.loadAddon(fit);
      terminal.open(place);
      terminal.textarea.setAttribute("aria-label", "Terminal input");
      addEventListener("resize", () => fit.fit());
      terminal.onData((text) => session?.type(text));
      terminal.attachCustomKeyEventHandler((event) => {
        if (!stream) return false; // what was closed can be read, and the keyboard goes on past it
        return event.key !== "Escape" || !event.shiftKey || (close.focus(), false);
      });
    }
    terminal.reset();
    fit.fit();
    state.textContent = "opening";
    open.hidden = true;
    choice.disabled = true;
    const leave = () => stream?.finish("you left");
    stream = new AppStream(`${root.dataset.source}/${app.kind}/${encodeURIComponent(name)}`, {
      opened() {
        state.textContent = `in ${name}`;
        close.hidden = false;
        interrupt.hidden = app.kind !== "shell";
        help.hidden = false;
        help.textContent = app.kind === "shell"
          ? "The shell runs inside the app and sees the names of its module. Each line is written to the device's console. Shift-Escape leaves the terminal for the keyboard."
          : "These are the guest's own screen and keys. Shift-Escape leaves the terminal for the keyboard.";
        terminal.focus();
      },
      received(bytes) {
        try { session.receive(bytes); } catch { leave(); return; }
        terminal.write("", () => stream?.more(bytes.length));
      },
      closed(reason) {
        terminal.write(`\r\n\x1b[2m[closed: ${harmless(reason)}]\x1b[0m\r\n`);
        stream = session = null;
        close.hidden = interrupt.hidden = help.hidden = true;
        state.textContent = "closed";
        again(name, reason, 5);
      },
    });
    session = app.kind === "shell" ? shell(terminal, stream, leave) : guest(terminal, stream);
  }

  choice.addEventListener("change", choose);
  open.addEventListener("click", start);
  close.addEventListener("click", () => stream?.finish("you left"));
  interrupt.addEventListener("click", () => { session?.interrupt(); terminal.focus(); });
  document.body.addEventListener("live-device", () => { if (!stream) look(); });
  look();
})();
