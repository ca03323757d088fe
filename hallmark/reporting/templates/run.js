// Shows the facts of reports/run.js, unless it is missing or belongs to another page.
(() => {
  const run = window.hallmarkRun;
  const line = document.querySelector("#run");
  if (!run || run.page !== document.documentElement.dataset.page) return;
  const parts = [];
  if (run.made) {
    const time = document.createElement("time");
    time.dateTime = run.made;
    time.textContent = new Date(run.made).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
    parts.push(["Created on ", time]);
  }
  if (run.source) parts.push([parts.length ? " from " : "From ", code(run.source)]);
  if (run.commit) {
    parts.push([parts.length ? " at commit " : "Commit ", code(run.commit.slice(0, 7))]);
    if (run.changed) parts.push([" with uncommitted changes"]);
  }
  if (!parts.length) return;
  line.replaceChildren(...parts.flat(), ".");
  line.hidden = false;

  function code(text) {
    const element = document.createElement("code");
    element.textContent = text;
    return element;
  }
})();
