"use strict";
// The page's own script: files of the numbers, and the clips. Text from data only ever becomes textContent.

const PAGE = 24;
const SIDES = { L: "left", R: "right", B: "both sides", U: "one side" };
const APPEARANCE = { gender: "perceived gender", age: "perceived age", race: "perceived race", skin: "skin as pictured" };

function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "line", "path", "rect", "circle", "text", "g"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function whole(value) {
  return value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en");
}

// --- files: the CSV as the audit wrote it, and the same as JSON

const NUMBERS = new Set(["value", "low", "high", "reference", "p", "clips", "subjects"]);

function rowsOf(csv) {
  const rows = [[]];
  let cell = "", quoted = false;
  for (let k = 0; k < csv.length; k++) {
    const c = csv[k];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (csv[k + 1] === '"') { cell += '"'; k++; }
      else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === ",") { rows.at(-1).push(cell); cell = ""; }
    else if (c === "\n") { rows.at(-1).push(cell); cell = ""; rows.push([]); }
    else cell += c;
  }
  return rows.slice(0, -1);
}

function findingsOf(csv) {
  const [names, ...rows] = rowsOf(csv);
  const typed = (name, text) =>
    NUMBERS.has(name) ? (text === "" ? null : Number(text)) : name === "small" ? text === "True" : text;
  return rows.map((row) => Object.fromEntries(names.map((name, k) => [name, typed(name, row[k])])));
}

function fileOf(id, kind) {
  const { csv, ...audit } = JSON.parse(document.getElementById(`data-${id}`).textContent);
  return kind === "csv" ? csv : JSON.stringify({ ...audit, findings: findingsOf(csv) }, null, 1);
}

function download(event) {
  const { of, kind } = event.currentTarget.dataset;
  const url = URL.createObjectURL(new Blob([fileOf(of, kind)], { type: kind === "csv" ? "text/csv" : "application/json" }));
  const link = make("a", { href: url, download: `${of}.${kind}`, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

for (const files of document.querySelectorAll(".files")) files.hidden = false;
for (const button of document.querySelectorAll(".files button")) button.addEventListener("click", download);

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not(.long)")) details.open = true;
});

// --- one clip

const unitNames = {};

function unitName(au) {
  return `AU${au} ${unitNames[au] ?? ""}`.trim();
}

function unitText(unit) {
  const how = [unit.side && SIDES[unit.side], unit.intensity].filter(Boolean).join(", ");
  return unitName(unit.au) + (how ? ` (${how})` : "");
}

function unitsText(units) {
  return units && units.length ? units.map(unitText).join("; ") : "no unit";
}

function timesText(times) {
  if (!times) return "no time";
  const [onset, apex, offset] = [times.onset, times.apex, times.offset].map(whole);
  return `onset ${onset}, apex ${apex}, offset ${offset} ms`;
}

class Player {
  // A clip's video with its time line, its steps by frame and its amplified difference.
  constructor(clip) {
    this.clip = clip;
    this.gain = 8;
    this.reference = null;
    this.video = make("video", {
      loop: true, muted: true, playsinline: true, tabindex: 0, preload: clip.src.startsWith("data:") ? "auto" : "metadata", src: clip.src,
      width: clip.width, height: clip.height,
      "aria-label": `Clip ${clip.id}; comma and full stop step by a frame, space plays`,
      onkeydown: (event) => this.key(event), onclick: () => this.toggle(),
      onplay: () => this.show(), onpause: () => this.show(), onseeked: () => this.show(), ontimeupdate: () => this.show(),
      onloadedmetadata: () => this.measure(), onloadeddata: () => this.show(), onerror: () => this.broken(),
    });
    this.video.muted = true;
    this.head = make("line", { class: "head", y1: 0, y2: 34 });
    this.play = make("button", { type: "button", onclick: () => this.toggle() }, "Play");
    this.slow = make("button", { type: "button", "aria-pressed": "false", onclick: () => this.speed() }, "¼ speed");
    this.more = make("button", { type: "button", "aria-pressed": "false", onclick: () => this.amplify() }, "Amplify");
    this.seek = make("input", {
      type: "range", class: "seek", min: 0, max: clip.frames - 1, step: 1, value: 0, "aria-label": "Frame",
      oninput: () => this.go(Number(this.seek.value)),
    });
    this.difference = make("div", { hidden: true });
    this.timeline = this.line();
    this.element = make("div", {}, this.video, this.timeline, this.seek, this.controls(), this.difference);
    this.show();
    this.watch();
  }

  get length() {
    return this.clip.frames / this.clip.fps || 1;
  }

  measure() {
    // An imported clip may come without its facts.
    const { clip, video } = this;
    Object.assign(clip, { width: video.videoWidth, height: video.videoHeight });
    if (clip.frames) return;
    clip.frames = Math.max(1, Math.round(video.duration * clip.fps));
    this.seek.max = clip.frames - 1;
    this.timeline.replaceWith((this.timeline = this.line()));
    this.show();
  }

  get frame() {
    return Math.min(this.clip.frames - 1, Math.floor(this.video.currentTime * this.clip.fps + 1e-3));
  }

  controls() {
    const step = (by, label, sign) =>
      make("button", { type: "button", "aria-label": label, onclick: () => this.step(by) }, sign);
    return make("div", { class: "controls" }, this.play, step(-1, "Previous frame", "◂"), step(1, "Next frame", "▸"), this.slow, this.more);
  }

  toggle() {
    if (this.video.paused) this.video.play().catch(() => {});
    else this.video.pause();
  }

  speed() {
    const slow = this.video.playbackRate === 1;
    this.video.playbackRate = slow ? 0.25 : 1;
    this.slow.setAttribute("aria-pressed", slow);
  }

  step(by) {
    this.video.pause();
    this.go((this.frame + by + this.clip.frames) % this.clip.frames);
  }

  go(frame) {
    // The middle of the frame: its edge may round to the one before.
    this.video.currentTime = (frame + 0.5) / this.clip.fps;
  }

  key(event) {
    const steps = { ",": -1, "ArrowLeft": -1, ".": 1, "ArrowRight": 1 };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === " " || event.key === "k") this.toggle();
    else return;
    event.preventDefault();
  }

  watch() {
    // Each frame that is shown, playing or stepped to.
    if (!this.video.requestVideoFrameCallback) return;
    this.video.requestVideoFrameCallback(() => {
      this.show();
      this.watch();
    });
  }

  show() {
    const x = this.x(this.clip.start_ms + this.video.currentTime * 1000);
    this.head.setAttribute("x1", x);
    this.head.setAttribute("x2", x);
    this.seek.value = this.frame;
    this.seek.setAttribute("aria-valuetext", `frame ${this.frame + 1} of ${this.clip.frames}`);
    this.play.textContent = this.video.paused ? "Play" : "Pause";
    this.draw();
  }

  broken() {
    this.element.replaceChildren(make("p", { class: "broken" }, "This browser cannot play the clip."));
  }

  // --- the time line: planned above, measured below

  x(time) {
    return 52 + (228 * (time - this.clip.start_ms)) / (this.length * 1000);
  }

  line() {
    const label = `Planned: ${timesText(this.clip.planned)}. Measured: ${timesText(this.clip.measured)}.`;
    const lanes = [this.lane("planned", this.clip.planned, 9), this.lane("measured", this.clip.measured, 25)];
    return make("svg", { class: "line", viewBox: "0 0 288 36", role: "img", "aria-label": label }, ...lanes.flat(), this.head);
  }

  lane(name, times, y) {
    const rail = make("line", { class: "rail", x1: 52, x2: 280, y1: y, y2: y });
    const marks = [make("text", { x: 0, y: y + 3 }, name), rail];
    if (!times) return marks;
    const inside = (time) => Math.max(52, Math.min(280, this.x(time)));
    if (times.onset !== null && times.offset !== null) {
      const [from, to] = [inside(times.onset), inside(times.offset)];
      marks.push(make("rect", { class: name, x: from, y: y - 4, width: Math.max(1, to - from), height: 8, rx: name === "planned" ? 0 : 4 }));
    }
    if (times.apex !== null) {
      const x = inside(times.apex);
      const diamond = `M${x} ${y - 5}l5 5l-5 5l-5 -5z`;
      marks.push(name === "planned" ? make("path", { class: "apex planned", d: diamond }) : make("circle", { class: "apex measured", cx: x, cy: y, r: 4 }));
    }
    return marks;
  }

  // --- the amplified difference: (frame - frame at onset) x gain around grey

  async amplify() {
    const on = this.more.getAttribute("aria-pressed") !== "true";
    this.more.setAttribute("aria-pressed", on);
    this.difference.hidden = !on;
    if (on && !this.reference) await this.prepare();
    this.draw();
  }

  async prepare() {
    this.video.preload = "auto";
    if (this.video.readyState < 2) await new Promise((done) => this.video.addEventListener("loadeddata", done, { once: true }));
    const { width, height } = this.clip;
    this.canvas = make("canvas", { width, height, role: "img", "aria-label": "Amplified difference" });
    this.screen = this.canvas.getContext("2d", { willReadFrequently: true });
    this.buffer = make("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    const onset = (this.clip.measured ?? this.clip.planned)?.onset ?? null;
    const frame = onset === null ? 0 : Math.round(((onset - this.clip.start_ms) / 1000) * this.clip.fps);
    const first = Math.max(0, Math.min(this.clip.frames - 1, frame));
    const slider = make("input", {
      type: "range", min: 1, max: 30, step: 1, value: this.gain, "aria-label": "Gain of the difference",
      oninput: (event) => { this.gain = Number(event.target.value); shown.textContent = `× ${this.gain}`; this.draw(); },
    });
    const shown = make("output", {}, `× ${this.gain}`);
    const what = onset === null ? "first frame (no onset)" : `${this.clip.measured ? "measured" : "planned"} onset`;
    this.difference.replaceChildren(this.canvas, make("label", { class: "gain" }, "gain", slider, shown),
      make("p", { class: "why" }, `difference to the ${what}; grey: none`));
    const [time, paused] = [this.video.currentTime, this.video.paused];
    this.video.pause();
    await this.at((first + 0.5) / this.clip.fps);
    this.reference = this.pixels();
    await this.at(time);
    if (!paused) this.video.play().catch(() => {});
  }

  async at(time) {
    const there = new Promise((done) => this.video.addEventListener("seeked", done, { once: true }));
    this.video.currentTime = time;
    await there;
  }

  pixels() {
    this.buffer.drawImage(this.video, 0, 0, this.clip.width, this.clip.height);
    return this.buffer.getImageData(0, 0, this.clip.width, this.clip.height);
  }

  draw() {
    if (this.difference.hidden || !this.reference) return;
    const now = this.pixels(), before = this.reference.data;
    // Writing clamps to 0..255.
    for (let k = 0; k < before.length; k++) if (k % 4 !== 3) now.data[k] = 128 + this.gain * (now.data[k] - before[k]);
    this.screen.putImageData(now, 0, 0);
  }
}

function verdict(clip) {
  if (clip.accepted === null) return make("dd", {}, "not scored");
  if (clip.accepted) return make("dd", {}, "accepted");
  return make("dd", { class: "no" }, `rejected${clip.reasons.length ? `: ${clip.reasons.join("; ")}` : ""}`);
}

function card(clip) {
  const groups = Object.entries(clip.groups).filter(([, group]) => group !== null);
  const scores = Object.entries(clip.scores).filter(([, score]) => score !== null);
  const fact = (name, text) => [make("dt", {}, name), text instanceof Node ? text : make("dd", {}, text)];
  const facts = [
    ...fact("verdict", verdict(clip)),
    ...fact("planned", `${unitsText(clip.units)}; ${timesText(clip.planned)}`),
    ...fact("measured", clip.measured_units || clip.measured ? `${unitsText(clip.measured_units)}; ${timesText(clip.measured)}` : "nothing"),
    ...fact("perceived", groups.length ? groups.map(([name, group]) => `${name} ${group}`).join(", ") + ` (${clip.labels} labels)` : "no label"),
    ...(clip.disagreement ? fact("labels", "the labels of this subject disagree") : []),
    ...fact("scores", scores.length ? scores.map(([name, score]) => `${name.replaceAll("_", " ")} ${score.toPrecision(3)}`).join(", ") : "none"),
    ...(clip.caption ? fact("caption", clip.caption) : []),
    ...(clip.twin ? fact("twin", clip.twin) : []),
  ];
  const title = clip.emotion ? `${clip.emotion} (intended)` : `control: ${clip.control ?? "no emotion"}`;
  const view = clip.src ? new Player(clip).element : make("p", { class: "broken" }, clip.error ?? "no video");
  const about = [clip.why, clip.id].filter(Boolean).join(" · ");
  return make("article", { class: "clip", "data-id": clip.id }, make("h3", {}, title), make("p", { class: "why" }, about), view, make("dl", {}, ...facts));
}

// --- all clips: filters, order, pages

class Gallery {
  constructor(place, data) {
    Object.assign(this, { place, data, page: 0 });
    this.count = make("p", { class: "count", role: "status", "aria-live": "polite" });
    this.list = make("div", { class: "clips" });
    this.back = make("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.next = make("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.where = make("span");
    this.pages = make("div", { class: "pages" }, this.back, this.where, this.next);
    this.form = make("form", { class: "filters", "aria-label": "Filter the clips", onsubmit: (event) => event.preventDefault(),
      oninput: () => this.change(), onreset: () => setTimeout(() => this.change()) }, ...this.controls());
    const reduced = data.shown < data.total ? [make("p", { class: "lead" }, `${data.shown.toLocaleString("en")} of ${data.total.toLocaleString("en")} clips are on this page; every number above is of all of them.`)] : [];
    place.append(...reduced, this.form, this.count, this.list, this.pages);
    this.change();
  }

  controls() {
    const { clips, scores } = this.data;
    const options = (values) => [...new Set(values.filter(Boolean))].sort();
    const units = [...new Set(clips.flatMap((clip) => clip.units.map((unit) => unit.au)))].sort((a, b) => a - b);
    const attributes = Object.keys(APPEARANCE).filter((name) => clips.some((clip) => clip.groups[name]));
    const parts = ["split", "design"].filter((name) => options(clips.map((clip) => clip[name])).length > 1);
    const some = scores.filter((name) => clips.some((clip) => clip.scores[name] !== null));
    const named = some.map((name) => [name, name.replaceAll("_", " ")]);
    return [
      this.select("emotion", "intended emotion", options(clips.map((clip) => clip.emotion ?? clip.control)).map((name) => [name, name])),
      this.select("unit", "planned action unit", units.map((au) => [au, unitName(au)])),
      ...attributes.map((name) => this.select(name, APPEARANCE[name], options(clips.map((clip) => clip.groups[name])).map((group) => [group, group]))),
      ...parts.map((name) => this.select(name, name, options(clips.map((clip) => clip[name])).map((part) => [part, part]))),
      this.select("accepted", "verdict", [["true", "accepted"], ["false", "rejected"], ["null", "not scored"]]),
      ...(named.length ? [this.select("score", "score", named, "none"), make("label", {}, "at least", make("input", { name: "least", type: "number", step: "any" })),
        this.select("sort", "order by score", [["up", "lowest first"], ["down", "highest first"]], "as chosen")] : []),
      make("label", { class: "check" }, make("input", { type: "checkbox", name: "disagreement" }), "labels disagree"),
      make("button", { type: "reset" }, "Show all"),
    ];
  }

  select(name, label, values, all = "all") {
    const options = values.map(([value, text]) => make("option", { value }, text));
    return make("label", {}, label, make("select", { name }, make("option", { value: "" }, all), ...options));
  }

  change() {
    this.page = 0;
    const wanted = Object.fromEntries(new FormData(this.form));
    this.kept = this.data.clips.filter((clip) => this.fits(clip, wanted));
    if (wanted.score && wanted.sort) {
      const sign = wanted.sort === "up" ? 1 : -1;
      const key = (clip) => clip.scores[wanted.score] === null ? Infinity : sign * clip.scores[wanted.score];
      this.kept.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
    }
    this.count.textContent = `${this.kept.length.toLocaleString("en")} of ${this.data.clips.length.toLocaleString("en")} clips`;
    this.show();
  }

  fits(clip, wanted) {
    const score = wanted.score ? clip.scores[wanted.score] : null;
    return (
      (!wanted.emotion || (clip.emotion ?? clip.control) === wanted.emotion) &&
      (!wanted.unit || clip.units.some((unit) => String(unit.au) === wanted.unit)) &&
      Object.keys(APPEARANCE).every((name) => !wanted[name] || clip.groups[name] === wanted[name]) &&
      ["split", "design"].every((name) => !wanted[name] || clip[name] === wanted[name]) &&
      (!wanted.accepted || String(clip.accepted) === wanted.accepted) &&
      (!wanted.disagreement || clip.disagreement) &&
      (!wanted.score || !wanted.least || (score !== null && score >= Number(wanted.least)))
    );
  }

  turn(by) {
    this.page += by;
    this.show();
    this.count.scrollIntoView();
  }

  show() {
    const last = Math.max(0, Math.ceil(this.kept.length / PAGE) - 1);
    this.list.replaceChildren(...this.kept.slice(this.page * PAGE, (this.page + 1) * PAGE).map(card));
    this.pages.hidden = last === 0;
    this.where.textContent = `page ${this.page + 1} of ${last + 1}`;
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === last;
  }
}

async function clipsOf(place) {
  const here = document.getElementById("clips");
  const data = here ? JSON.parse(here.textContent) : place.hasAttribute("data-served") ? await (await fetch("clips.json")).json() : null;
  if (!data) return null;
  Object.assign(unitNames, data.units);
  data.clips = data.clips.map((values) => Object.fromEntries(data.fields.map((field, k) => [field, values[k]])));
  return data;
}

const place = document.getElementById("gallery");
if (place) clipsOf(place).then((data) => data && new Gallery(place, data));
