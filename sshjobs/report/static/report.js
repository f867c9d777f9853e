"use strict";
// Draws the timeline and shows the table of a report. All that it shows is text: nothing is ever read as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const json = (id) => JSON.parse(byId(id).textContent);
  const KINDS = ["done", "error", "unknown", "busy"];
  const ENDS = ["succeeded", "failed", "cancelled, lost or never started", "running"];

  async function unpacked(id) {
    const letters = atob(byId(id).textContent), packed = new Uint8Array(letters.length);
    for (let at = 0; at < letters.length; at += 1) packed[at] = letters.charCodeAt(at);
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  function span(seconds) {
    if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
  }
  const two = (number) => String(number).padStart(2, "0");
  function clock(time) {
    const when = new Date(time * 1000);
    return `${two(when.getMonth() + 1)}-${two(when.getDate())} ${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
  }

  // -- the timeline --------------------------------------------------------------------------------------------------

  const PARTS = 1 << 24, FOOT = 22, TALLEST = 3000, GAP = 4;

  function timeline(head, buffer, nameOf) {
    const canvas = byId("timeline"), under = byId("under");
    let first = 0, last = 1;
    const slots = head.kind === "slots", n = head.n;
    let starts, lengths, jobs, hosts, lanes, kinds, busy, failed;
    if (slots) {
      starts = new Uint32Array(buffer, 0, n); lengths = new Uint32Array(buffer, 4 * n, n); jobs = new Int32Array(buffer, 8 * n, n);
      hosts = new Uint16Array(buffer, 12 * n, n); lanes = new Uint16Array(buffer, 14 * n, n); kinds = new Uint8Array(buffer, 16 * n, n);
      for (let at = 1; at < n; at += 1) { starts[at] += starts[at - 1]; jobs[at] += jobs[at - 1]; }
    } else {
      const cells = head.hosts.length * head.bins;
      busy = new Uint16Array(buffer, 0, cells); failed = new Uint16Array(buffer, 2 * cells, cells);
    }
    const count = head.hosts.map((_, at) => slots ? Math.max(1, head.lanes[at]) : 2);
    const all = count.reduce((sum, one) => sum + one, 0);
    const gap = head.hosts.length > 200 ? 1 : GAP;
    const lane = Math.max(0.25, Math.min(12, (TALLEST - gap * count.length) / all));
    const tops = [];
    let height = gap;
    for (const one of count) { tops.push(height); height += one * lane + gap; }
    height = Math.max(60, Math.ceil(height));
    const label = () => (canvas.clientWidth < 600 ? 70 : 130);
    const x = (part) => label() + (part - first) / (last - first) * (canvas.clientWidth - label() - 6);
    const partAt = (pixel) => first + (pixel - label()) / (canvas.clientWidth - label() - 6) * (last - first);
    const timeOf = (part) => head.begin + part * (head.end - head.begin);

    // Sets pixels by itself: a browser takes longer for a hundred thousand rectangles.
    function paint(pen, colours, left, right, bottom, scale, room) {
      const across = right - left, image = pen.createImageData(Math.max(1, across), bottom), pixels = new Uint32Array(image.data.buffer);
      const high = lane > 3 ? lane - 1 : lane, each = room * scale / (last - first), begin = -first * each;
      // What failed is drawn last: it is seen even where a pixel stands for many.
      for (const kind of [0, 2, 3, 1]) {
        for (let at = 0; at < n; at += 1) {
          if (kinds[at] !== kind) continue;
          const from = begin + starts[at] / PARTS * each, wide = Math.max(scale, lengths[at] / PARTS * each - scale / 2);
          if (from + wide < 0 || from > across) continue;
          const begun = Math.max(0, Math.round(from)), ended = Math.min(across, Math.max(begun + 1, Math.round(from + wide)));
          const top = (tops[hosts[at]] + lanes[at] * lane) * scale, below = Math.min(bottom, Math.max(Math.round(top) + 1, Math.round(top + high * scale)));
          for (let row = Math.round(top); row < below; row += 1) pixels.fill(colours[kind], row * across + begun, row * across + ended);
        }
      }
      pen.putImageData(image, left, 0);
    }

    function draw() {
      const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
      const width = canvas.clientWidth, scale = Math.min(devicePixelRatio || 1, 16000 / (height + FOOT)), left = label();
      canvas.style.height = `${height + FOOT}px`;
      canvas.width = Math.round(width * scale); canvas.height = Math.round((height + FOOT) * scale);
      const pen = canvas.getContext("2d");
      pen.scale(scale, scale);
      pen.font = "12px system-ui, sans-serif";
      pen.fillStyle = colour("--text");
      let free = 0;
      head.hosts.forEach((name, at) => {
        if (tops[at] < free) return;
        const most = Math.floor(left / 7);
        pen.fillText(name.length > most ? `${name.slice(0, most - 1)}…` : name, 4, tops[at] + 10);
        free = tops[at] + 13;
      });
      pen.save();
      pen.beginPath(); pen.rect(left, 0, width - left, height); pen.clip();
      if (slots) {
        const colours = KINDS.map((kind) => pixelOf(pen, colour(`--bar-${kind}`)));
        paint(pen, colours, Math.round(left * scale), canvas.width, Math.round(height * scale), scale, width - left - 6);
      } else {
        let most = 1;
        for (const one of busy) if (one > most) most = one;
        const high = 2 * lane;
        head.hosts.forEach((_, host) => {
          for (let at = 0; at < head.bins; at += 1) {
            const here = host * head.bins + at, from = x(at / head.bins), wide = Math.max(1, x((at + 1) / head.bins) - from);
            if (busy[here]) { pen.fillStyle = colour("--bar-busy"); pen.fillRect(from, tops[host] + high * (1 - busy[here] / most), wide, high * busy[here] / most); }
            if (failed[here]) { pen.fillStyle = colour("--bar-error"); pen.fillRect(from, tops[host] + high - 3, wide, 3); }
          }
        });
      }
      pen.restore();
      pen.fillStyle = colour("--soft");
      const steps = width > 700 ? 4 : 1;
      for (let at = 0; at <= steps; at += 1) {
        pen.textAlign = at === steps ? "right" : at ? "center" : "left";
        pen.fillText(clock(timeOf(first + at / steps * (last - first))), x(first + at / steps * (last - first)), height + FOOT - 6);
      }
      pen.textAlign = "left";
    }

    function show(from, to) {
      const wide = Math.min(1, Math.max(1e-6, to - from));
      first = Math.min(1 - wide, Math.max(0, from)); last = first + wide;
      draw();
    }
    const middle = () => (first + last) / 2, wide = () => last - first;
    const zooms = { in: () => show(middle() - wide() / 4, middle() + wide() / 4), out: () => show(middle() - wide(), middle() + wide()),
      back: () => show(first - wide() / 2, last - wide() / 2), on: () => show(first + wide() / 2, last + wide() / 2), all: () => show(0, 1) };
    byId("zoom").addEventListener("click", (event) => zooms[event.target.dataset.zoom]?.());

    function told(event) {
      const box = canvas.getBoundingClientRect(), part = partAt(event.clientX - box.left), y = event.clientY - box.top;
      const host = tops.findIndex((top, at) => y >= top && y < top + count[at] * lane);
      if (host < 0 || part < first || part > last) return "\u00a0";
      if (!slots) {
        const at = host * head.bins + Math.min(head.bins - 1, Math.floor(part * head.bins));
        return `${head.hosts[host]}: ${(busy[at] / 10).toFixed(1)} at a time, ${failed[at]} failed, ${clock(timeOf(part))}`;
      }
      const want = Math.floor((y - tops[host]) / lane);
      for (let at = n - 1; at >= 0; at -= 1) {
        if (hosts[at] === host && lanes[at] === want && part >= starts[at] / PARTS && part <= (starts[at] + lengths[at]) / PARTS) {
          return `${nameOf(jobs[at])} on ${head.hosts[host]}: ${ENDS[kinds[at]]}, ${span(lengths[at] / PARTS * (head.end - head.begin))}, from ${clock(timeOf(starts[at] / PARTS))}`;
        }
      }
      return `${head.hosts[host]}, ${clock(timeOf(part))}`;
    }
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => { drag = partAt(event.clientX - canvas.getBoundingClientRect().left); under.textContent = told(event); });
    canvas.addEventListener("pointermove", (event) => { under.textContent = told(event); });
    canvas.addEventListener("pointerleave", () => { drag = null; });
    canvas.addEventListener("pointerup", (event) => {
      const to = partAt(event.clientX - canvas.getBoundingClientRect().left), from = drag;
      drag = null;
      if (from !== null && Math.abs(to - from) > wide() / 100) show(Math.min(from, to), Math.max(from, to));
    });
    addEventListener("resize", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  }

  // Four bytes as they stand in an image, whatever the order of bytes is here.
  function pixelOf(pen, colour) {
    pen.fillStyle = colour;
    const number = parseInt(pen.fillStyle.slice(1), 16);
    return new Uint32Array(Uint8Array.of(number >> 16, number >> 8 & 255, number & 255, 255).buffer)[0];
  }

  // -- the table -----------------------------------------------------------------------------------------------------

  const PAGE = 100;
  const shown = (value) => (value === null ? "" : typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value));
  const isNumber = (value) => typeof value === "number" || (typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value)));
  function compared(one, other) {
    if (one === other) return 0;
    if (one === null || other === null) return one === null ? 1 : -1;
    const first = isNumber(one), second = isNumber(other);
    if (first && second) return Number(one) - Number(other);
    if (first !== second) return first ? -1 : 1;
    return one < other ? -1 : 1;
  }

  function table(head, columns) {
    const heads = document.querySelector("#results thead tr"), body = document.querySelector("#results tbody"), found = byId("found");
    const every = Array.from({ length: head.n }, (_, at) => at);
    const numeric = columns.map((column) => column.some((value) => value !== null) && column.every((value) => value === null || isNumber(value)));
    let order = every, sorted = -1, down = false, offset = 0;
    function fill() {
      body.replaceChildren(...order.slice(offset, offset + PAGE).map((row) => {
        const line = document.createElement("tr");
        columns.forEach((column, at) => {
          const cell = line.insertCell();
          cell.textContent = shown(column[row]);
          if (numeric[at]) cell.className = "n";
        });
        return line;
      }));
      found.textContent = order.length ? `${(offset + 1).toLocaleString("en")} to ${Math.min(offset + PAGE, order.length).toLocaleString("en")} of ${order.length.toLocaleString("en")}` : "no row";
      byId("before").disabled = offset === 0; byId("after").disabled = offset + PAGE >= order.length;
    }
    function arrange() {
      const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
      order = words.length ? every.filter((row) => words.every((word) => columns.some((column) => shown(column[row]).toLowerCase().includes(word)))) : every.slice();
      if (sorted >= 0) {
        const column = columns[sorted];
        order.sort((one, other) => compared(column[one], column[other]) * (down && column[one] !== null && column[other] !== null ? -1 : 1));
      }
      offset = 0;
      fill();
    }
    head.columns.forEach((name, at) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      cell.scope = "col";
      if (numeric[at]) cell.className = "n";
      button.type = "button"; button.textContent = name;
      button.addEventListener("click", () => {
        down = sorted === at && !down; sorted = at;
        for (const one of heads.children) one.removeAttribute("aria-sort");
        cell.setAttribute("aria-sort", down ? "descending" : "ascending");
        arrange();
      });
      cell.append(button);
      heads.append(cell);
    });
    byId("filter").addEventListener("input", arrange);
    byId("before").addEventListener("click", () => { offset = Math.max(0, offset - PAGE); fill(); });
    byId("after").addEventListener("click", () => { offset += PAGE; fill(); });
    arrange();
  }

  async function begin() {
    const head = json("table-head");
    const columns = JSON.parse(new TextDecoder().decode(await unpacked("table-data")));
    const numbers = columns.pop();
    table(head, columns);
    if (byId("timeline")) {
      const rows = new Map(numbers.map((number, at) => [number, at]));
      const place = head.columns.indexOf("job");
      const nameOf = (number) => {
        const row = numbers.length ? rows.get(number) : number - 1;
        return place >= 0 && row !== undefined && row < head.n ? columns[place][row] : `job ${number}`;
      };
      timeline(json("timeline-head"), await unpacked("timeline-data"), nameOf);
    }
    // Milliseconds until all of it is shown.
    document.documentElement.dataset.ready = String(Math.round(performance.now()));
  }
  begin().catch((error) => {
    const line = document.createElement("p");
    line.className = "note bad";
    line.textContent = `This browser cannot show the timeline and the table: ${error.message}`;
    document.querySelector("main").prepend(line);
  });
})();
