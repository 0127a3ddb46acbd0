/* A page that a server shows: it says how the store is, and is loaded again when there is more. What
   is chosen, unfolded, zoomed and held outlives that. */
(() => {
  const { version, refresh_s } = page.live;
  const KEY = "lip-ray";
  const room = document.getElementById("live");
  const charts = () => [...document.querySelectorAll(".chart")].filter((one) => one._fullLayout);
  const controls = () => [...document.querySelectorAll("main select, main input")];
  const folds = () => [...document.querySelectorAll("main details")].filter((one) => !room.contains(one));
  const place = (one, all) => {
    const section = one.closest("section");
    const inside = all.filter((other) => other.closest("section") === section);
    return `${section?.getAttribute("aria-labelledby") ?? ""} ${inside.indexOf(one)}`;
  };

  const zoomed = (chart) =>
    Object.fromEntries(
      ["xaxis", "yaxis"].flatMap((axis) => {
        const { range, autorange } = chart._fullLayout[axis];
        const first = chart.layout[axis]?.range;
        const moved = chart.lipZoomed?.[axis];
        return moved && !autorange && first ? [[`${axis}.range`, [...range]]] : [];
      })
    );

  function keep() {
    const [all, open] = [controls(), folds()];
    const kept = {
      scroll: scrollY,
      controls: all.map((one) => [place(one, all), one.type === "radio" ? one.checked : one.value]),
      folds: open.filter((one) => one.open).map((one) => place(one, open)),
      zooms: charts().map((chart) => [chart.id, zoomed(chart)]),
      held: page.frontier ? fits.holding() : [],
    };
    sessionStorage.setItem(KEY, JSON.stringify(kept));
  }

  function restore() {
    const text = sessionStorage.getItem(KEY);
    if (!text) return;
    sessionStorage.removeItem(KEY);
    const kept = JSON.parse(text);
    const [all, open] = [controls(), folds()];
    const [before, unfolded] = [new Map(kept.controls), new Set(kept.folds)];
    for (const one of all) {
      const value = before.get(place(one, all));
      const other = one.type === "radio" ? value && !one.checked : value !== undefined && one.value !== value;
      if (!other) continue;
      if (one.type === "radio") one.checked = true;
      else if ([...(one.options ?? [])].some((option) => option.value === value)) one.value = value;
      else continue;
      one.dispatchEvent(new Event("change", { bubbles: true }));
    }
    for (const one of open) one.open ||= unfolded.has(place(one, open));
    for (const [id, ranges] of kept.zooms) {
      const chart = document.getElementById(id);
      if (!chart?._fullLayout || !Object.keys(ranges).length) continue;
      chart.lipZoomed = Object.fromEntries(Object.keys(ranges).map((name) => [name.split(".")[0], true]));
      Plotly.relayout(chart, ranges);
    }
    if (page.frontier) fits.hold(kept.held);
    scrollTo(0, kept.scroll);
  }

  function listen() {
    for (const chart of charts())
      chart.on("plotly_relayout", (changes) => {
        chart.lipZoomed ??= {};
        for (const axis of ["xaxis", "yaxis"]) {
          if (Object.keys(changes).some((name) => name.startsWith(`${axis}.range`))) chart.lipZoomed[axis] = true;
          if (changes[`${axis}.autorange`]) delete chart.lipZoomed[axis];
        }
      });
  }

  const trouble = element("p", { role: "alert" });
  const first = element("p");
  const list = element("ul");
  const running = element("details", { hidden: true }, element("summary", { textContent: "Running" }), list);
  room.replaceChildren(trouble, first, running);

  function set(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function tell(told) {
    const [line = "", ...rows] = told.status;
    set(trouble, told.trouble);
    set(first, line);
    running.hidden = !rows.length;
    list.replaceChildren(...rows.map((row) => element("li", { textContent: row })));
  }

  async function look() {
    try {
      const told = await (await fetch("status.json")).json();
      tell(told);
      const busy = document.querySelector("dialog[open]");
      if (told.version && told.version !== version && !busy) {
        if (version) keep();
        location.reload();
        return;
      }
    } catch {
      tell({ status: [], trouble: "The server does not answer: this page is not being updated." });
    }
    setTimeout(look, 1000 * refresh_s);
  }

  restore();
  listen();
  look();
})();
