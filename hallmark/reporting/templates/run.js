// What reports/run.js says of this page: nothing where it is not there, or speaks of another page.
(() => {
  const run = window.hallmarkRun;
  const place = document.querySelector("#run");
  if (!run || run.page !== document.documentElement.dataset.page) return;
  const parts = [];
  if (run.made) {
    const time = document.createElement("time");
    time.dateTime = run.made;
    time.textContent = new Date(run.made).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
    parts.push(["Made on ", time]);
  }
  if (run.source) parts.push([parts.length ? " from " : "From ", code(run.source)]);
  if (run.commit) {
    parts.push([parts.length ? " at commit " : "Commit ", code(run.commit.slice(0, 7))]);
    if (run.changed) parts.push([" with uncommitted changes"]);
  }
  if (!parts.length) return;
  place.replaceChildren(...parts.flat(), ".");
  place.hidden = false;

  function code(text) {
    const element = document.createElement("code");
    element.textContent = text;
    return element;
  }
})();
