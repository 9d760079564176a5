// The dashboard's script: keeps pages fresh, draws the machine, copies texts. Pages work without it, less comfortably.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // Theme: kept in a cookie, so that the server already answers in it.
  const theme = $("theme");
  const isDark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    document.cookie = `bosun_theme=${next}; path=/ui; max-age=31536000; samesite=strict`;
    map?.repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map?.repaint());

  // Copying. The clipboard is only there in a secure context; the old way works without.
  const copy = async (text) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  const showCopyButtons = () => document.querySelectorAll("[data-copy]").forEach((button) => (button.hidden = false));
  showCopyButtons();
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await copy($(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });

  // What cannot be taken back wants the name typed.
  document.querySelectorAll("[data-must-be]").forEach((input) => {
    const button = input.form.querySelector("button[type=submit]");
    const look = () => (button.disabled = input.value.trim() !== input.dataset.mustBe);
    input.addEventListener("input", look);
    look();
  });

  // Makes `from` like `to`, touching no more than differs: focus, scrolling and opened lists stay.
  const morph = (from, to) => {
    if (from.isEqualNode(to)) return;
    if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) return from.replaceWith(to.cloneNode(true));
    if (from.nodeType !== Node.ELEMENT_NODE) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    const keeps = (name) => (name === "open" && from.nodeName === "DETAILS") || name === "hidden";
    for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && !keeps(name)) from.removeAttribute(name);
    for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value && !keeps(name)) from.setAttribute(name, value);
    let own = from.firstChild;
    for (const wanted of [...to.childNodes]) {
      let match = own;
      if (wanted.id && own?.id !== wanted.id) {
        match = [...from.children].find((child) => child.id === wanted.id);
        if (!match) {
          from.insertBefore(wanted.cloneNode(true), own);
          continue;
        }
        from.insertBefore(match, own);
      } else if (!match || (match.id && match.id !== wanted.id)) {
        from.insertBefore(wanted.cloneNode(true), own);
        continue;
      }
      own = match.nextSibling;
      morph(match, wanted);
    }
    while (own) {
      const next = own.nextSibling;
      own.remove();
      own = next;
    }
  };

  // Freshness: whenever the server says that something moved, the page is asked for again, at most once a second.
  const pulse = $("pulse");
  const say = (state, text) => {
    if (!pulse || pulse.textContent === text) return;
    pulse.dataset.state = state;
    pulse.textContent = text;
  };
  let asking = false;
  let again = false;
  const refresh = async () => {
    if (asking) return (again = true);
    asking = true;
    again = false;
    const earliest = new Promise((done) => setTimeout(done, 1000));
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of fresh.querySelectorAll("[data-live]")) {
        const own = document.getElementById(part.id);
        if (own) morph(own, part);
      }
      showCopyButtons();
      await map?.refresh();
      say("on", "live");
    } catch {
      say("off", "the server does not answer");
    }
    await earliest;
    asking = false;
    if (again) refresh();
  };
  const source = document.body.dataset.liveSource;
  if (source) {
    const events = new EventSource(source);
    let first = true;
    events.onopen = () => say("on", "live");
    events.onmessage = () => {
      if (first) first = false;
      else refresh();
    };
    events.onerror = () => {
      say("off", "not live");
      if (events.readyState === EventSource.CLOSED) setInterval(refresh, 5000);
    };
  }

  // The machine.
  const LETTERS = { waiting: "", prepare: "P", off: "↓", on: "↑", boot: "B", configure: "C", done: "✓", failed: "✕", skipped: "–" };
  const KINDS = { waiting: "waiting", prepare: "being prepared", off: "going off", on: "going on", boot: "booting", configure: "being configured", done: "through", failed: "failed", skipped: "left out" };

  class MachineMap {
    constructor(section) {
      this.url = section.dataset.map;
      this.canvas = $("map-canvas");
      this.legend = $("map-legend");
      this.says = $("map-says");
      this.only = null;
      this.at = -1;
      this.canvas.addEventListener("mousemove", (event) => this.point(this.hit(event)));
      this.canvas.addEventListener("mouseleave", () => this.point(-1));
      this.canvas.addEventListener("click", (event) => this.open(this.hit(event)));
      this.canvas.addEventListener("keydown", (event) => this.key(event));
      $("map-find").addEventListener("input", (event) => this.find(event.target.value.trim().toLowerCase()));
      $("map-find").addEventListener("keydown", (event) => event.key === "Enter" && this.open(this.at));
      new ResizeObserver(() => this.nodes && this.width !== this.canvas.clientWidth && this.place()).observe(this.canvas);
    }

    async load() {
      const answer = await (await fetch(`${this.url}?layout=true`)).json();
      this.read(answer.layout);
      this.take(answer);
      this.place();
    }

    async refresh() {
      const answer = await (await fetch(this.url)).json();
      if (!this.nodes || answer.count !== this.nodes.length) return this.load();
      this.take(answer);
      this.paint();
    }

    // From the compact layout to one entry per node.
    read(layout) {
      this.nodes = [];
      this.cabinets = layout.cabinets.map(([cabinet, chassis]) => ({
        name: `x${cabinet}`,
        blocks: chassis.map(([number, pattern]) => {
          const first = this.nodes.length;
          const slots = layout.patterns[pattern];
          for (const [slot, nodes] of slots)
            for (const [bmc, node] of nodes) this.nodes.push(`x${cabinet}c${number}s${slot}b${bmc}n${node}`);
          return { number, first, slots: slots.map(([slot, nodes]) => [slot, nodes.length]) };
        }),
      }));
      if (layout.others.length) {
        const first = this.nodes.length;
        this.nodes.push(...layout.others);
        this.cabinets.push({ name: "others", blocks: [{ number: 0, first, slots: [[0, layout.others.length]] }] });
      }
    }

    take(answer) {
      this.places = answer.places;
      this.codes = new Uint16Array(answer.count);
      let at = 0;
      for (const run of answer.cells ? answer.cells.split(" ") : []) {
        const [code, length] = run.split("*").map(Number);
        this.codes.fill(code, at, (at += length || 1));
      }
      this.seq = answer.seq;
      this.legends();
    }

    // Where every cell is drawn. A chassis is a block, a row per slot; long ones (racks) go on in a second column.
    place() {
      const dense = this.nodes.length;
      const size = dense <= 300 ? 22 : dense <= 1500 ? 15 : dense <= 7000 ? 10 : dense <= 20000 ? 7 : 5;
      const gap = size >= 10 ? 2 : 1;
      const head = 18;
      this.size = size - gap;
      this.width = this.canvas.clientWidth;
      this.x = new Float32Array(dense);
      this.y = new Float32Array(dense);
      this.titles = [];
      let left = 0;
      let top = 0;
      let low = 0;
      for (const cabinet of this.cabinets) {
        const blocks = cabinet.blocks.map((block) => {
          const rows = Math.min(block.slots.length, 8);
          const widest = Math.min(Math.max(...block.slots.map(([, count]) => count)), 64);
          const columns = Math.ceil(block.slots.length / rows);
          return { ...block, rows, widest, w: columns * (widest * size + gap) + size * 0.6, h: rows * size * Math.ceil(Math.max(...block.slots.map(([, count]) => count)) / widest) + size * 0.6 };
        });
        // Eight chassis as four by two, as they are mounted.
        const perRow = Math.min(blocks.length, 4);
        let width = 34;
        let height = 0;
        const lines = [];
        for (let at = 0; at < blocks.length; at += perRow) {
          const line = blocks.slice(at, at + perRow);
          lines.push(line);
          width = Math.max(width, line.reduce((sum, block) => sum + block.w, 0));
          height += Math.max(...line.map((block) => block.h));
        }
        if (left > 0 && left + width > this.width) {
          left = 0;
          top += low + 12;
          low = 0;
        }
        this.titles.push([cabinet.name, left, top + 11]);
        let y = top + head;
        for (const line of lines) {
          let x = left;
          for (const block of line) {
            let node = block.first;
            block.slots.forEach(([, count], slot) => {
              for (let place = 0; place < count; place++, node++) {
                this.x[node] = x + Math.floor(slot / block.rows) * (block.widest * size + gap) + (place % block.widest) * size;
                this.y[node] = y + (slot % block.rows) * size + Math.floor(place / block.widest) * size;
              }
            });
            x += block.w;
          }
          y += Math.max(...line.map((block) => block.h));
        }
        low = Math.max(low, height + head);
        left += width + 10;
      }
      this.height = top + low + 4;
      this.grid = null;
      const scale = devicePixelRatio || 1;
      this.canvas.width = Math.round(this.width * scale);
      this.canvas.height = Math.round(this.height * scale);
      this.canvas.style.height = `${this.height}px`;
      this.paint();
    }

    // The palette of the theme, as the style sheet has it.
    colours() {
      const probe = document.createElement("span");
      document.body.append(probe);
      const read = (name) => {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color;
      };
      const kinds = Object.fromEntries(Object.keys(LETTERS).map((kind) => [kind, read(`map-${kind}`)]));
      const colours = { kinds, ink: read("map-ink"), dark: read("map-ink-dark"), dim: read("dim"), text: read("text") };
      probe.remove();
      return colours;
    }

    paint() {
      const begun = performance.now();
      this.look ??= this.colours();
      const { kinds, ink, dark, dim, text } = this.look;
      const pen = this.canvas.getContext("2d");
      const scale = devicePixelRatio || 1;
      const size = this.size;
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.clearRect(0, 0, this.width, this.height);
      pen.fillStyle = dim;
      pen.font = "11px system-ui, sans-serif";
      for (const [name, x, y] of this.titles) pen.fillText(name, x, y);
      // One pass per place: few changes of colour.
      this.places.forEach((place, code) => {
        const faint = this.only !== null && this.only !== code;
        pen.globalAlpha = faint ? 0.15 : 1;
        pen.fillStyle = kinds[place.kind];
        const half = place.kind === "skipped";
        pen.beginPath();
        for (let node = 0; node < this.codes.length; node++)
          if (this.codes[node] === code) {
            if (half) pen.rect(this.x[node], this.y[node] + size / 2 - Math.max(1, size / 6), size, Math.max(2, size / 3));
            else pen.rect(this.x[node], this.y[node], size, size);
          }
        pen.fill();
        // Failures have a shape of their own at every size: a cross, or a notch where there is no room for one.
        if (place.kind === "failed" && size < 12) {
          pen.fillStyle = text;
          pen.beginPath();
          const dot = Math.max(1, size / 3);
          for (let node = 0; node < this.codes.length; node++)
            if (this.codes[node] === code) pen.rect(this.x[node] + (size - dot) / 2, this.y[node] + (size - dot) / 2, dot, dot);
          pen.fill();
        }
        const letter = LETTERS[place.kind];
        if (size >= 12 && letter && !half) {
          pen.fillStyle = ["prepare", "on", "configure"].includes(place.kind) && !isDark() ? dark : ink;
          pen.font = `600 ${Math.round(size * 0.62)}px system-ui, sans-serif`;
          pen.textAlign = "center";
          pen.textBaseline = "middle";
          for (let node = 0; node < this.codes.length; node++)
            if (this.codes[node] === code) pen.fillText(letter, this.x[node] + size / 2, this.y[node] + size / 2 + 0.5);
          pen.textAlign = "start";
          pen.textBaseline = "alphabetic";
        }
      });
      pen.globalAlpha = 1;
      if (this.at >= 0) {
        pen.strokeStyle = text;
        pen.lineWidth = 2;
        pen.strokeRect(this.x[this.at] - 1.5, this.y[this.at] - 1.5, size + 3, size + 3);
      }
      this.canvas.dataset.painted = this.seq;
      this.canvas.dataset.took = (performance.now() - begun).toFixed(1);
    }

    repaint() {
      this.look = null;
      if (this.nodes) {
        this.paint();
        this.legends();
      }
    }

    legends() {
      this.look ??= this.colours();
      const fresh = document.createElement("div");
      this.places.forEach((place, code) => {
        if (!place.count) return;
        const button = document.createElement("button");
        button.type = "button";
        button.id = `place-${code}`;
        button.setAttribute("aria-pressed", String(this.only === code));
        button.dataset.code = code;
        button.title = KINDS[place.kind];
        const sign = document.createElement("span");
        sign.className = `map-sign map-${place.kind}`;
        sign.setAttribute("aria-hidden", "true");
        sign.textContent = LETTERS[place.kind];
        const count = document.createElement("strong");
        count.textContent = place.count.toLocaleString("en");
        button.append(sign, count, ` ${place.label}`);
        fresh.append(button);
      });
      const buttons = [...fresh.children].sort((a, b) => a.dataset.code - b.dataset.code);
      fresh.replaceChildren(...buttons);
      this.legend.onclick = (event) => {
        const button = event.target.closest("button");
        if (!button) return;
        const code = Number(button.dataset.code);
        this.only = this.only === code ? null : code;
        this.legends();
        this.paint();
      };
      [...this.legend.children].forEach((own) => $(own.id) && !fresh.querySelector(`#${own.id}`) && own.remove());
      const holder = this.legend.cloneNode(false);
      holder.append(...fresh.children);
      morph(this.legend, holder);
    }

    // The node under the pointer: looked up in a coarse grid.
    hit(event) {
      if (!this.nodes) return -1;
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const step = 32;
      if (!this.grid) {
        this.grid = new Map();
        this.nodes.forEach((_, node) => {
          const key = Math.floor(this.x[node] / step) * 65536 + Math.floor(this.y[node] / step);
          this.grid.has(key) ? this.grid.get(key).push(node) : this.grid.set(key, [node]);
        });
      }
      for (const dx of [0, -1])
        for (const dy of [0, -1])
          for (const node of this.grid.get((Math.floor(x / step) + dx) * 65536 + Math.floor(y / step) + dy) ?? [])
            if (x >= this.x[node] && x <= this.x[node] + this.size && y >= this.y[node] && y <= this.y[node] + this.size) return node;
      return -1;
    }

    point(node) {
      if (node === this.at) return;
      this.at = node;
      const place = node >= 0 ? this.places[this.codes[node]] : null;
      this.says.textContent = place ? `${this.nodes[node]}: ${place.label}` : "";
      this.canvas.title = this.says.textContent;
      requestAnimationFrame(() => this.paint());
    }

    open(node) {
      if (node >= 0) location.href = `/ui/components/${encodeURIComponent(this.nodes[node])}`;
    }

    find(name) {
      this.point(name ? this.nodes.findIndex((node) => node.startsWith(name)) : -1);
    }

    key(event) {
      if (event.key === "Enter") return this.open(this.at);
      const moves = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1], Home: null, End: null };
      if (!(event.key in moves) || !this.nodes?.length) return;
      event.preventDefault();
      if (event.key === "Home" || this.at < 0) return this.point(0);
      if (event.key === "End") return this.point(this.nodes.length - 1);
      const [dx, dy] = moves[event.key];
      if (dx) return this.point(Math.min(Math.max(this.at + dx, 0), this.nodes.length - 1));
      // Up and down: the nearest cell in that direction, straight ones first.
      let best = -1;
      let least = Infinity;
      for (let node = 0; node < this.nodes.length; node++) {
        const down = (this.y[node] - this.y[this.at]) * dy;
        const aside = Math.abs(this.x[node] - this.x[this.at]);
        if (down > 1 && down + 8 * aside < least) [best, least] = [node, down + 8 * aside];
      }
      if (best >= 0) this.point(best);
    }
  }

  const machine = $("machine");
  const map = machine ? new MachineMap(machine) : null;
  map?.load().catch(() => (map.says.textContent = "The map cannot be read now."));
})();
