"use strict";

const $ = (id) => document.getElementById(id);
const VERBS = { keep: "Kept", drop: "Dropped", relabel: "Relabelled" };
const STRIP = 30;

let state = null; // what /state answered
let kind = ""; // the kind shown; all where empty
let path = ""; // the suspect shown
let finished = false; // the message that all is decided is shown
let busy = Promise.resolve(); // decisions go out one after another
const compared = new Map(); // neighbours by path

async function ask(address, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("No answer: is `hallmark review` still running?");
  }
  const said = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(typeof said.detail === "string" ? said.detail : JSON.stringify(said.detail)), { status: answer.status });
  return said;
}

const listed = () => (kind ? state.items.filter((item) => item.kind === kind) : state.items);
const current = () => state.items.find((item) => item.path === path);
const picture = (where, side) => `/picture?side=${side}&path=${encodeURIComponent(where)}`;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function image(where, side, label) {
  const made = element("img", { alt: label, loading: "lazy" });
  made.addEventListener("load", () => made.classList.toggle("small", Math.max(made.naturalWidth, made.naturalHeight) <= 64));
  made.src = picture(where, side);
  return made;
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
  const told = !item || finished;
  $("main").hidden = $("strip").hidden = told;
  $("message").hidden = !told;
  $("actions").hidden = !item;
  for (const id of ["keep", "drop", "relabel"]) $(id).disabled = told;
  $("undo").disabled = !state.undoable;
  if (told) return renderMessage(decided, total);
  history.replaceState(null, "", `#${encodeURIComponent(path)}`);
  renderSuspect(item);
  renderStrip();
  renderNeighbours(item.path);
}

function renderKinds() {
  const counts = Object.entries(state.kinds).map(([name, words]) => [name, words, state.items.filter((item) => item.kind === name).length]);
  const shown = [["", "all", state.items.length], ...counts].filter(([, , count]) => count);
  $("kinds").replaceChildren(
    ...shown.map(([name, words, count]) => {
      const chip = element("button", { type: "button", onclick: () => choose(name) }, `${words} `, element("b", { textContent: count }));
      chip.setAttribute("aria-pressed", name === kind);
      return chip;
    }),
  );
}

function renderBanner() {
  const said = [];
  if (state.refused) said.push("The gate refused this set, so nothing is split or cleaned yet: keep what was kept aside by mistake, and run again.");
  if (state.gone.length) said.push(`${state.gone.length} decisions are about files that the source no longer has: ${state.gone.slice(0, 3).join(", ")}${state.gone.length > 3 ? ", …" : ""}.`);
  $("banner").textContent = said.join(" ");
  $("banner").hidden = !said.length;
}

function renderMessage(decided, total) {
  if (!total) {
    $("message").replaceChildren(
      element("h1", { textContent: "Nothing is suspect" }),
      element("p", { textContent: `No detector and no rule found anything to decide about in the ${state.found.toLocaleString("en")} files of the last run.` }),
    );
    return;
  }
  const counts = ["keep", "drop", "relabel"].map((word) => [word, state.items.filter((item) => item.decision && item.decision.decision === word).length]);
  $("message").replaceChildren(
    element("h1", { textContent: `All ${decided} are decided` }),
    element("p", { textContent: `${counts.map(([word, count]) => `${count} ${VERBS[word].toLowerCase()}`).join(", ")}. The decisions stand in data/review.csv.` }),
    element("p", {}, "They count from the next ", element("code", { textContent: "hallmark run" }), " on. Commit data/review.csv with your data's history."),
    element("p", {}, element("button", { type: "button", textContent: "Look at them again", onclick: () => step(0) })),
  );
}

function renderSuspect(item) {
  const size = item.measured.find(([name]) => name === "size");
  $("picture").src = picture(item.path, 768);
  $("picture").alt = `${item.label}: ${item.path}`;
  $("title").replaceChildren(element("small", { textContent: "labelled " }), item.label, ...(item.suggested ? [element("small", { textContent: ", more like " }), item.suggested] : []));
  const said = item.decision || item.stale;
  $("verdict").hidden = !said;
  if (said) {
    const word = `${VERBS[said.decision]}${said.decision === "relabel" ? ` to ${said.label}` : ""}`;
    $("verdict").className = item.stale ? "stale" : said.decision;
    $("verdict").textContent = item.stale ? `You said “${said.decision}” of other content; the file has changed since.` : `${word} by you${said.when ? `, ${said.when.slice(0, 10)}` : ""}`;
  }
  const where = item.split ? `${{ train: "training", val: "validation", test: "test" }[item.split]} image, ` : "";
  $("why").textContent = `${item.why ? `${item.why[0].toUpperCase()}${item.why.slice(1)}. ` : ""}In the last run: ${where}${item.meaning}${item.used && item.used !== item.label ? ` (${item.used})` : ""}.`;
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

function neighbours(where) {
  if (!compared.has(where)) compared.set(where, ask(`/neighbours?path=${encodeURIComponent(where)}`));
  return compared.get(where);
}

async function renderNeighbours(where) {
  const place = $("neighbours");
  const waiting = setTimeout(() => place.replaceChildren(element("p", { className: "none", textContent: "looking for pictures like it …" })), 150);
  let rows;
  try {
    rows = await neighbours(where);
  } catch (error) {
    compared.delete(where);
    if (where === path) place.replaceChildren(element("p", { className: "none", textContent: error.message }));
    return;
  } finally {
    clearTimeout(waiting);
  }
  if (where !== path) return;
  place.replaceChildren(
    ...rows.map((row) => {
      const heading = element("h2", {}, row.title, ...(row.label ? [": ", element("b", { textContent: row.label })] : []));
      const tiles = row.pictures.map((one) => {
        const doubt = one.fate === "kept" ? "" : ` ${one.fate}`;
        return element("figure", { title: one.path }, element("div", { className: "frame" }, image(one.path, 192, `${one.label}: ${one.path}`)), element("figcaption", {}, element("b", { textContent: one.label }), doubt));
      });
      return element("div", { className: "row" }, heading, tiles.length ? element("div", { className: "tiles" }, ...tiles) : element("p", { className: "none", textContent: "there is none" }));
    }),
  );
  const items = listed();
  const after = items[items.findIndex((item) => item.path === where) + 1];
  // errors of what was asked in advance are told when it is shown
  if (after) neighbours(after.path).catch(() => compared.delete(after.path));
}

function show(where) {
  path = where;
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
  toast(by > 0 ? "That was the last one" : "That is the first one");
}

function open() {
  const items = listed();
  const at = items.findIndex((item) => item.path === path);
  const next = [...items.slice(at + 1), ...items.slice(0, at + 1)].find((item) => !item.decision);
  if (next) return show(next.path);
  if (kind && state.items.some((item) => !item.decision)) {
    toast(`All ${state.kinds[kind]} are decided`);
    kind = "";
    return open();
  }
  finished = true;
  render();
}

function first() {
  const wanted = listed().find((item) => !item.decision);
  if (wanted) show(wanted.path);
  else toast("All are decided");
}

function toast(text, bad = false) {
  const place = $("toast");
  place.textContent = text;
  place.className = bad ? "shown bad" : "shown";
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (place.className = bad ? "bad" : ""), bad ? 6000 : 2500);
}

function inTurn(work) {
  busy = busy.then(work).catch(async (error) => {
    toast(error.message, true);
    // the data were run again, or the file was edited: what the page knows is old
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
  const classes = state.classes.map((name, place) => ({ name, number: place + 1 })).filter((one) => one.name !== item.label);
  const wanted = text.trim().toLowerCase();
  if (!wanted) return classes.sort((one, other) => (other.name === item.suggested) - (one.name === item.suggested) || one.number - other.number);
  // a name beats a number: classes may be called 0 to 9
  const rank = ({ name, number }) => [name.toLowerCase() === wanted, name.toLowerCase().startsWith(wanted), String(number) === wanted && !numeric(), name.toLowerCase().includes(wanted)].indexOf(true);
  return classes.filter((one) => rank(one) >= 0).sort((one, other) => rank(one) - rank(other) || one.number - other.number);
}

const numeric = () => state.classes.some((name) => /^\d+$/.test(name));

function renderOptions() {
  const item = current();
  options = matching($("typed").value);
  marked = Math.min(marked, Math.max(0, options.length - 1));
  $("options").replaceChildren(
    ...options.slice(0, 200).map((one, place) => {
      const made = element("li", { onclick: () => relabel(one.name) }, ...(numeric() ? [] : [element("i", { textContent: one.number })]), one.name, ...(one.name === item.suggested ? [element("small", { textContent: "suggested" })] : []));
      made.setAttribute("aria-selected", place === marked);
      return made;
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
// a note written after the decision belongs to it all the same
$("note").addEventListener("change", () => {
  const said = current().decision;
  if (said && said.note !== $("note").value.trim()) decide(said.decision, said.label, true);
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
// the page was left open over a run
window.addEventListener("focus", () => state && !document.querySelector("dialog[open]") && document.activeElement !== $("note") && load().catch((error) => toast(error.message, true)));
load().catch((error) => {
  $("message").hidden = false;
  $("message").replaceChildren(element("h1", { textContent: "The suspects cannot be shown" }), element("p", { textContent: error.message }));
});
