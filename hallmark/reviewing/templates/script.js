"use strict";

const $ = (id) => document.getElementById(id);
const VERBS = { keep: "Kept", drop: "Dropped", relabel: "Relabelled" };
const STRIP = 30;

let state = null; // the answer of /state
let kind = ""; // the current kind; empty: all
let path = ""; // the current suspect
let finished = false; // whether the final message is shown
let busy = Promise.resolve(); // decisions are sent one at a time
const compared = new Map(); // neighbours by path

async function ask(address, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("No answer: is `hallmark review` still running?");
  }
  const content = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(typeof content.detail === "string" ? content.detail : JSON.stringify(content.detail)), { status: answer.status });
  return content;
}

const listed = () => (kind ? state.items.filter((item) => item.kind === kind) : state.items);
const current = () => state.items.find((item) => item.path === path);
const picture = (path, side) => `/picture?side=${side}&path=${encodeURIComponent(path)}`;

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function image(path, side, label) {
  const img = element("img", { alt: label, loading: "lazy" });
  img.addEventListener("load", () => img.classList.toggle("small", Math.max(img.naturalWidth, img.naturalHeight) <= 64));
  img.src = picture(path, side);
  return img;
}

async function load() {
  state = await ask("/state");
  compared.clear();
  const wanted = decodeURIComponent(location.hash.slice(1));
  const open = state.items.find((item) => item.path === (path || wanted)) || state.items.find((item) => !item.decision) || state.items[0];
  path = open ? open.path : "";
  finished = false;
  render();
}

function render() {
  const decided = state.items.filter((item) => item.decision).length;
  const total = state.items.length;
  $("count").textContent = `${decided} of ${total} decided`;
  $("bar").style.width = `${total ? (100 * decided) / total : 0}%`;
  $("bar").parentElement.setAttribute("aria-valuemax", total);
  $("bar").parentElement.setAttribute("aria-valuenow", decided);
  document.title = `Review: ${decided} of ${total}`;
  renderKinds();
  renderBanner();
  const item = current();
  const done = !item || finished;
  $("main").hidden = $("strip").hidden = done;
  $("message").hidden = !done;
  $("actions").hidden = !item;
  for (const id of ["keep", "drop", "relabel"]) $(id).disabled = done;
  $("undo").disabled = !state.undoable;
  if (done) return renderMessage(decided, total);
  history.replaceState(null, "", `#${encodeURIComponent(path)}`);
  renderSuspect(item);
  renderStrip();
  renderNeighbours(item.path);
}

function renderKinds() {
  const counts = Object.entries(state.kinds).map(([name, words]) => [name, words, state.items.filter((item) => item.kind === name).length]);
  const chips = [["", "all", state.items.length], ...counts].filter(([, , count]) => count);
  $("kinds").replaceChildren(
    ...chips.map(([name, words, count]) => {
      const chip = element("button", { type: "button", onclick: () => choose(name) }, `${words} `, element("b", { textContent: count }));
      chip.setAttribute("aria-pressed", name === kind);
      return chip;
    }),
  );
}

function renderBanner() {
  const notices = [];
  if (state.refused) notices.push("The gate refused this set, so nothing is split or cleaned yet: keep the images that were quarantined by mistake, and run again.");
  if (state.gone.length) notices.push(`${state.gone.length} decisions refer to files that are no longer in the source: ${state.gone.slice(0, 3).join(", ")}${state.gone.length > 3 ? ", …" : ""}.`);
  $("banner").textContent = notices.join(" ");
  $("banner").hidden = !notices.length;
}

function renderMessage(decided, total) {
  if (!total) {
    $("message").replaceChildren(
      element("h1", { textContent: "No suspects" }),
      element("p", { textContent: `No detector or rule found a suspect among the ${state.found.toLocaleString("en")} files of the last run.` }),
    );
    return;
  }
  const counts = ["keep", "drop", "relabel"].map((word) => [word, state.items.filter((item) => item.decision && item.decision.decision === word).length]);
  $("message").replaceChildren(
    element("h1", { textContent: `All ${decided} decided` }),
    element("p", { textContent: `${counts.map(([word, count]) => `${count} ${VERBS[word].toLowerCase()}`).join(", ")}. The decisions are in data/review.csv.` }),
    element("p", {}, "They take effect in the next ", element("code", { textContent: "hallmark run" }), ". Commit data/review.csv: decisions are part of the data's history."),
    element("p", {}, element("button", { type: "button", textContent: "Review them again", onclick: () => step(0) })),
  );
}

function renderSuspect(item) {
  const size = item.measured.find(([name]) => name === "size");
  $("picture").src = picture(item.path, 768);
  $("picture").alt = `${item.label}: ${item.path}`;
  $("title").replaceChildren(element("small", { textContent: "labelled " }), item.label, ...(item.suggested ? [element("small", { textContent: ", suggested " }), item.suggested] : []));
  const verdict = item.decision || item.stale;
  $("verdict").hidden = !verdict;
  if (verdict) {
    const word = `${VERBS[verdict.decision]}${verdict.decision === "relabel" ? ` to ${verdict.label}` : ""}`;
    $("verdict").className = item.stale ? "stale" : verdict.decision;
    $("verdict").textContent = item.stale ? `Your decision “${verdict.decision}” was for other content; the file has changed since.` : `${word} by you${verdict.when ? `, ${verdict.when.slice(0, 10)}` : ""}`;
  }
  const split = item.split ? `${{ train: "training", val: "validation", test: "test" }[item.split]} image, ` : "";
  $("why").textContent = `${item.why ? `${item.why[0].toUpperCase()}${item.why.slice(1)}. ` : ""}In the last run: ${split}${item.meaning}${item.used && item.used !== item.label ? ` (${item.used})` : ""}.`;
  $("measured").replaceChildren(...[...item.measured.filter((one) => one !== size), ...(size ? [size] : [])].map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }))));
  $("path").textContent = item.path;
  $("note").value = item.decision ? item.decision.note : "";
}

function renderStrip() {
  const items = listed();
  const at = items.findIndex((item) => item.path === path);
  const from = Math.max(0, Math.min(at - 4, items.length - STRIP));
  $("strip").replaceChildren(
    ...items.slice(from, from + STRIP).map((item) => {
      const button = element("button", { type: "button", title: `${item.label}: ${item.path}`, className: item.decision ? item.decision.decision : "", onclick: () => show(item.path) }, image(item.path, 96, item.path));
      if (item.path === path) button.setAttribute("aria-current", "true");
      return button;
    }),
  );
  const marked = $("strip").querySelector("[aria-current]");
  if (marked) $("strip").scrollLeft = marked.offsetLeft - $("strip").clientWidth / 3;
}

function neighbours(path) {
  if (!compared.has(path)) compared.set(path, ask(`/neighbours?path=${encodeURIComponent(path)}`));
  return compared.get(path);
}

async function renderNeighbours(suspect) {
  const section = $("neighbours");
  const waiting = setTimeout(() => section.replaceChildren(element("p", { className: "none", textContent: "searching similar images …" })), 150);
  let rows;
  try {
    rows = await neighbours(suspect);
  } catch (error) {
    compared.delete(suspect);
    if (suspect === path) section.replaceChildren(element("p", { className: "none", textContent: error.message }));
    return;
  } finally {
    clearTimeout(waiting);
  }
  if (suspect !== path) return;
  section.replaceChildren(
    ...rows.map((row) => {
      const heading = element("h2", {}, row.title, ...(row.label ? [": ", element("b", { textContent: row.label })] : []));
      const tiles = row.pictures.map((one) => {
        const doubt = one.fate === "kept" ? "" : ` ${one.fate}`;
        return element("figure", { title: one.path }, element("div", { className: "frame" }, image(one.path, 192, `${one.label}: ${one.path}`)), element("figcaption", {}, element("b", { textContent: one.label }), doubt));
      });
      return element("div", { className: "row" }, heading, tiles.length ? element("div", { className: "tiles" }, ...tiles) : element("p", { className: "none", textContent: "none" }));
    }),
  );
  const items = listed();
  const after = items[items.findIndex((item) => item.path === suspect) + 1];
  // ignore errors of this prefetch: they appear when the suspect is shown
  if (after) neighbours(after.path).catch(() => compared.delete(after.path));
}

function show(suspect) {
  path = suspect;
  finished = false;
  render();
  window.scrollTo(0, 0);
}

function choose(name) {
  kind = name;
  const items = listed();
  show((items.find((item) => !item.decision) || items[0]).path);
}

function step(by) {
  const items = listed();
  const at = items.findIndex((item) => item.path === path);
  if (finished) return show(path);
  const wanted = items[at + by];
  if (wanted) return show(wanted.path);
  toast(by > 0 ? "This is the last one" : "This is the first one");
}

function open() {
  const items = listed();
  const at = items.findIndex((item) => item.path === path);
  const next = [...items.slice(at + 1), ...items.slice(0, at + 1)].find((item) => !item.decision);
  if (next) return show(next.path);
  if (kind && state.items.some((item) => !item.decision)) {
    toast(`Nothing left in “${state.kinds[kind]}”`);
    kind = "";
    return open();
  }
  finished = true;
  render();
}

function first() {
  const wanted = listed().find((item) => !item.decision);
  if (wanted) show(wanted.path);
  else toast("Nothing left to decide");
}

function toast(text, bad = false) {
  const line = $("toast");
  line.textContent = text;
  line.className = bad ? "shown bad" : "shown";
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (line.className = bad ? "bad" : ""), bad ? 6000 : 2500);
}

function inTurn(work) {
  busy = busy.then(work).catch(async (error) => {
    toast(error.message, true);
    // a new run or an edited file has made the page's state stale
    if (error.status === 404 || error.status === 409) await load().catch((again) => toast(again.message, true));
  });
  return busy;
}

function decide(decision, label = "", stay = false) {
  const item = current();
  if (!item || finished) return;
  const note = decision ? $("note").value.trim() : "";
  inTurn(async () => {
    const answer = await ask("/decisions", { path: item.path, hash: item.hash, decision, label, note });
    Object.assign(item, answer.item);
    state.undoable = answer.undoable;
    toast(decision ? `${VERBS[decision]}${label ? ` to ${label}` : ""}: ${item.path}` : `Withdrawn: ${item.path}`);
    if (stay || !decision || item.path !== path) render();
    else open();
  });
}

function undo() {
  inTurn(async () => {
    const answer = await ask("/undo", {});
    if (!answer.path) return toast("Nothing to undo");
    state = await ask("/state");
    kind = "";
    toast(`Undone: ${answer.path}`);
    show(answer.path);
  });
}

let options = [];
let marked = 0;

function matching(text) {
  const item = current();
  const classes = state.classes.map((name, index) => ({ name, number: index + 1 })).filter((one) => one.name !== item.label);
  const wanted = text.trim().toLowerCase();
  if (!wanted) return classes.sort((one, other) => (other.name === item.suggested) - (one.name === item.suggested) || one.number - other.number);
  // a name takes precedence over a number: classes may be called 0 to 9
  const rank = ({ name, number }) => [name.toLowerCase() === wanted, name.toLowerCase().startsWith(wanted), String(number) === wanted && !numeric(), name.toLowerCase().includes(wanted)].indexOf(true);
  return classes.filter((one) => rank(one) >= 0).sort((one, other) => rank(one) - rank(other) || one.number - other.number);
}

const numeric = () => state.classes.some((name) => /^\d+$/.test(name));

function renderOptions() {
  const item = current();
  options = matching($("typed").value);
  marked = Math.min(marked, Math.max(0, options.length - 1));
  $("options").replaceChildren(
    ...options.slice(0, 200).map((one, index) => {
      const option = element("li", { onclick: () => relabel(one.name) }, ...(numeric() ? [] : [element("i", { textContent: one.number })]), one.name, ...(one.name === item.suggested ? [element("small", { textContent: "suggested" })] : []));
      option.setAttribute("aria-selected", index === marked);
      return option;
    }),
    ...(options.length ? [] : [element("li", { textContent: `no class is called “${$("typed").value}”` })]),
  );
  const chosen = $("options").children[marked];
  if (chosen) chosen.scrollIntoView({ block: "nearest" });
}

function ask_label() {
  if (!current() || finished) return;
  $("typed").value = "";
  marked = 0;
  $("classes").showModal();
  $("typed").focus();
  renderOptions();
}

function relabel(name) {
  $("classes").close();
  decide("relabel", name);
}

$("typed").addEventListener("input", () => ((marked = 0), renderOptions()));
$("typed").addEventListener("keydown", (event) => {
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move) {
    event.preventDefault();
    marked = Math.max(0, Math.min(options.length - 1, marked + move));
    renderOptions();
  } else if (event.key === "Enter") {
    event.preventDefault();
    if (options[marked]) relabel(options[marked].name);
  }
});

$("note").addEventListener("keydown", (event) => {
  if (event.key === "Escape") $("note").value = current().decision ? current().decision.note : "";
  if (event.key === "Enter" || event.key === "Escape") {
    event.preventDefault();
    $("note").blur();
  }
});
// a note written after the decision still belongs to it
$("note").addEventListener("change", () => {
  const { decision } = current();
  if (decision && decision.note !== $("note").value.trim()) decide(decision.decision, decision.label, true);
});

const COMMANDS = {
  k: () => decide("keep"),
  d: () => decide("drop"),
  r: ask_label,
  u: undo,
  x: () => decide(null),
  g: first,
  n: () => $("note").focus(),
  "?": () => $("keys").showModal(),
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement || document.querySelector("dialog[open]") || !state) return;
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const space = event.key === " " && event.target === document.body;
  const command = space ? () => step(event.shiftKey ? -1 : 1) : COMMANDS[pressed];
  if (!command) return;
  event.preventDefault();
  command();
});

$("keep").onclick = () => decide("keep");
$("drop").onclick = () => decide("drop");
$("relabel").onclick = ask_label;
$("undo").onclick = undo;
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("keys-button").onclick = () => $("keys").showModal();
for (const dialog of document.querySelectorAll("dialog")) dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
for (const button of document.querySelectorAll("footer button, nav button")) button.addEventListener("mouseup", () => button.blur());
$("picture").addEventListener("load", () => $("picture").classList.toggle("small", Math.max($("picture").naturalWidth, $("picture").naturalHeight) <= 64));
// the page may have stayed open during a run
window.addEventListener("focus", () => state && !document.querySelector("dialog[open]") && document.activeElement !== $("note") && load().catch((error) => toast(error.message, true)));
load().catch((error) => {
  $("message").hidden = false;
  $("message").replaceChildren(element("h1", { textContent: "Cannot load the suspects" }), element("p", { textContent: error.message }));
});
