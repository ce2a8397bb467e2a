// The page of `fer demo`. Everything that it needs lies in its own script elements, gzipped and in base64.

const facts = JSON.parse(document.getElementById("facts").textContent);
const element = (id) => document.getElementById(id);
const canvas = element("canvas"), video = element("video"), stage = element("stage");
const context = canvas.getContext("2d");
const state = { ready: false, faces: [], frames: 0, milliseconds: 0, box: null };
window.ferDemo = state; // for tests and for the curious

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), (letter) => letter.charCodeAt(0));
  element(id).remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

let ort, detector, network;

async function start() {
  const script = new Blob([await unpacked("runtime")], { type: "text/javascript" });
  ort = await import(URL.createObjectURL(script));
  ort.env.wasm.numThreads = 1; // threads would need a server's headers
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  detector = await ort.InferenceSession.create(await unpacked("detector"));
  network = await ort.InferenceSession.create(await unpacked("network"));
  await classify(new Uint8Array(facts.size ** 2 * facts.channels)); // the first run is the slowest
  state.ready = true;
  for (const control of [element("camera"), element("file")]) control.disabled = false;
  say("Ready. Nothing leaves this page.");
}

function say(words) { element("status").textContent = words; }

// --- faces --------------------------------------------------------------------------------------------------------

/** Return the faces of a picture, the largest first: score, box (left, top, right, bottom) and eyes in its pixels. */
async function detect(source, width, height) {
  const side = facts.detector_side, scale = side / Math.max(width, height);
  const small = new OffscreenCanvas(side, side), drawing = small.getContext("2d", { willReadFrequently: true });
  drawing.imageSmoothingQuality = "high";
  drawing.fillRect(0, 0, side, side);
  drawing.drawImage(source, 0, 0, width * scale, height * scale);
  const rgba = drawing.getImageData(0, 0, side, side).data, rgb = new Uint8Array(side * side * 3);
  for (let at = 0; at < side * side; at++) for (let c = 0; c < 3; c++) rgb[3 * at + c] = rgba[4 * at + c];
  const image = new ort.Tensor("uint8", rgb, [side, side, 3]);
  const { faces } = await detector.run({ image, score: new ort.Tensor("float32", [facts.detector_score], [1]) });
  const found = [];
  for (let at = 0; at < faces.dims[0]; at++) {
    const [score, ...places] = Array.from(faces.data.subarray(17 * at, 17 * at + 17));
    const pixels = places.map((place) => (place * side) / scale);
    found.push({ score, box: pixels.slice(0, 4), eyes: [pixels.slice(4, 6), pixels.slice(6, 8)] });
  }
  return found.sort((one, other) => other.box[2] - other.box[0] - (one.box[2] - one.box[0]));
}

/** Return a face as the network was trained to see it, uint8 (channels, size, size): eyes level, at their places. */
function crop(source, eyes) {
  const size = facts.size, [right, left] = eyes, [rightAt, leftAt] = facts.eyes;
  const distance = Math.hypot(left[0] - right[0], left[1] - right[1]);
  const wanted = Math.hypot(leftAt[0] - rightAt[0], leftAt[1] - rightAt[1]) * size;
  const finer = Math.min(8, Math.max(1, Math.round(distance / wanted))); // drawn finer, then averaged: no aliasing
  const scale = (wanted * finer) / distance;
  const angle = Math.atan2(leftAt[1] - rightAt[1], leftAt[0] - rightAt[0]) - Math.atan2(left[1] - right[1], left[0] - right[0]);
  const side = size * finer, drawn = new OffscreenCanvas(side, side);
  const drawing = drawn.getContext("2d", { willReadFrequently: true });
  drawing.imageSmoothingQuality = "high";
  drawing.translate(rightAt[0] * side, rightAt[1] * side);
  drawing.rotate(angle);
  drawing.scale(scale, scale);
  drawing.translate(-right[0], -right[1]);
  drawing.drawImage(source, 0, 0);
  const rgba = drawing.getImageData(0, 0, side, side).data;
  const sums = new Float64Array(3 * size * size);
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) {
    const to = Math.floor(y / finer) * size + Math.floor(x / finer), from = 4 * (y * side + x);
    for (let c = 0; c < 3; c++) sums[c * size * size + to] += rgba[from + c] / (finer * finer);
  }
  const [red, green, blue] = [0, 1, 2].map((c) => sums.subarray(c * size * size, (c + 1) * size * size));
  if (!facts.grey) return Uint8Array.from(sums, (value) => Math.round(value));
  const grey = red.map((value, at) => Math.round(0.299 * value + 0.587 * green[at] + 0.114 * blue[at]));
  return Uint8Array.from({ length: facts.channels * size * size }, (_, at) => grey[at % (size * size)]);
}

/** Return the probability of each expression. */
async function classify(pixels) {
  const images = new ort.Tensor("uint8", pixels, [1, facts.channels, facts.size, facts.size]);
  return Array.from((await network.run({ images })).probabilities.data);
}
state.classify = classify;

// --- pictures and camera ------------------------------------------------------------------------------------------

/** Look at a picture or a frame, and show what was found. */
async function look(source, width, height) {
  const started = performance.now();
  let faces = await detect(source, width, height);
  if (!faces.length && state.box) faces = [byHand(state.box)];
  for (const face of faces) face.scores = await classify((face.crop = crop(source, face.eyes)));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  context.drawImage(source, 0, 0, width, height);
  faces.forEach(mark);
  answer(faces[0]);
  Object.assign(state, { faces, frames: state.frames + 1, milliseconds: performance.now() - started });
  return faces;
}

/** Return a face whose box was drawn by hand: the box is what the network sees. */
function byHand([left, top, side]) {
  const eyes = facts.eyes.map(([x, y]) => [left + x * side, top + y * side]);
  return { score: 0, box: [left, top, left + side, top + side], eyes, byHand: true };
}

function mark(face, number) {
  const [left, top, right, bottom] = face.box, unit = 1 / (scaleOf() || 1); // a pixel of the screen
  const best = face.scores.indexOf(Math.max(...face.scores));
  context.lineWidth = 3 * unit;
  context.strokeStyle = number ? "#56b4e9" : "#d55e00";
  if (face.byHand) context.setLineDash([8 * unit, 6 * unit]);
  context.strokeRect(left, top, right - left, bottom - top);
  context.setLineDash([]);
  const words = `${facts.classes[best]} ${Math.round(100 * face.scores[best])} %`;
  context.font = `600 ${16 * unit}px system-ui, sans-serif`;
  const width = context.measureText(words).width + 12 * unit, base = Math.max(top, 24 * unit);
  context.fillStyle = context.strokeStyle;
  context.fillRect(left - 1.5 * unit, base - 24 * unit, width, 24 * unit);
  context.fillStyle = "#fff";
  context.fillText(words, left + 5 * unit, base - 7 * unit);
}

function answer(face) {
  const best = face ? face.scores.indexOf(Math.max(...face.scores)) : -1;
  element("label").textContent = face ? facts.classes[best] : "–";
  document.querySelectorAll(".bar").forEach((bar, at) => {
    bar.classList.toggle("top", at === best);
    bar.querySelector("b").style.width = face ? `${100 * face.scores[at]}%` : 0;
    bar.querySelector("output").textContent = face ? `${Math.round(100 * face.scores[at])} %` : "–";
  });
  const seen = element("crop").getContext("2d"), size = facts.size, shown = seen.createImageData(size, size);
  if (face) for (let at = 0; at < size * size; at++) for (let c = 0; c < 4; c++) {
    shown.data[4 * at + c] = c === 3 ? 255 : face.crop[(facts.channels === 3 ? c : 0) * size * size + at];
  }
  seen.putImageData(shown, 0, 0);
}

let picture = null, stream = null;

async function show(file) {
  stop();
  try {
    picture = await createImageBitmap(file);
  } catch {
    return say("This file is not a picture that the browser can read.");
  }
  const most = 1600 / Math.max(picture.width, picture.height);
  if (most < 1) picture = await createImageBitmap(picture, { resizeWidth: Math.round(picture.width * most), resizeHeight: Math.round(picture.height * most), resizeQuality: "high" });
  fill();
  state.box = null;
  let faces = await look(picture, picture.width, picture.height);
  if (!faces.length) {
    const side = 0.6 * Math.min(picture.width, picture.height);
    state.box = [(picture.width - side) / 2, (picture.height - side) / 2, side];
    faces = await look(picture, picture.width, picture.height);
    return say("No face was found. Drag the box onto one; the wheel, or + and −, change its size.");
  }
  say(`${faces.length} face${faces.length === 1 ? "" : "s"}, ${state.milliseconds.toFixed(0)} ms. The bars show the largest.`);
}

function fill() {
  element("empty").hidden = true;
  canvas.hidden = false;
  stage.classList.add("full");
}

async function camera() {
  if (stream) return stop();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 } });
  } catch (error) {
    const elsewhere = error.name === "NotAllowedError" ? "The browser did not allow it" : `No camera can be used (${error.name})`;
    return say(`${elsewhere}. Choose a picture instead, or open the page in Chrome, Edge or Firefox.`);
  }
  picture = state.box = null;
  video.srcObject = stream;
  await video.play();
  fill();
  element("camera").textContent = "Stop the camera";
  let smooth = 0;
  while (stream) {
    const faces = await look(video, video.videoWidth, video.videoHeight);
    smooth = smooth ? 0.9 * smooth + 0.1 * state.milliseconds : state.milliseconds;
    say(`${faces.length ? `${faces.length} face${faces.length === 1 ? "" : "s"}` : "No face"} · ${smooth.toFixed(0)} ms a frame`);
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  for (const track of stream ? stream.getTracks() : []) track.stop();
  stream = null;
  element("camera").textContent = "Use the camera";
}

// --- what the user does -------------------------------------------------------------------------------------------

element("camera").addEventListener("click", camera);
element("file").addEventListener("change", ({ target }) => target.files[0] && show(target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  stage.addEventListener(kind, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && state.ready && event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", ({ clipboardData }) => {
  if (state.ready && clipboardData.files[0]) show(clipboardData.files[0]);
});

let looking = false, again = false;
async function place(left, top, side) {
  const largest = Math.min(picture.width, picture.height);
  side = Math.min(largest, Math.max(24, side));
  state.box = [Math.min(picture.width - side, Math.max(0, left)), Math.min(picture.height - side, Math.max(0, top)), side];
  if (looking) return (again = true);
  looking = true;
  do {
    again = false;
    await look(picture, picture.width, picture.height);
  } while (again);
  looking = false;
}
const scaleOf = () => Math.min(canvas.clientWidth / canvas.width, canvas.clientHeight / canvas.height);
let dragged = null;
canvas.addEventListener("pointerdown", (event) => {
  if (!state.box || !picture) return;
  dragged = { x: event.clientX, y: event.clientY, box: state.box };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const [left, top, side] = dragged.box, scale = scaleOf();
  place(left + (event.clientX - dragged.x) / scale, top + (event.clientY - dragged.y) / scale, side);
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => (dragged = null));
function resize(factor) {
  if (!state.box || !picture) return;
  const [left, top, side] = state.box;
  place(left - ((factor - 1) * side) / 2, top - ((factor - 1) * side) / 2, side * factor);
}
canvas.addEventListener("wheel", (event) => {
  if (state.box) event.preventDefault();
  resize(event.deltaY < 0 ? 1.08 : 1 / 1.08);
}, { passive: false });
document.addEventListener("keydown", ({ key }) => {
  if (key === "+") resize(1.08);
  if (key === "-") resize(1 / 1.08);
});

start().catch((error) => {
  state.error = String(error);
  say(`The page cannot start: ${error}. It needs a browser of 2023 or later.`);
});
