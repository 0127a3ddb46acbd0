(() => {
  /* The place of what is chosen, and among how many. */
  function chosen(control) {
    if (control.tagName === "SELECT") return [control.selectedIndex, control.options.length];
    const inputs = [...control.querySelectorAll("input")];
    return [inputs.findIndex(({ checked }) => checked), inputs.length];
  }

  /* By menu the button that is chosen: controls of the same menu are the digits of its place. */
  function places(section) {
    const found = new Map();
    for (const control of section.querySelectorAll("[data-menu]")) {
      const [place, count] = chosen(control);
      const { menu } = control.dataset;
      found.set(menu, (found.get(menu) ?? 0) * count + place);
    }
    return found;
  }

  /* Sets `a.b.c` of an object. */
  function set(object, path, value) {
    const names = path.split(".");
    const last = names.pop();
    names.reduce((inner, name) => (inner[name] ??= {}), object)[last] = value;
  }

  /* The figure's own buttons, which no keyboard reaches, are taken out and their work done. */
  function draw(section) {
    const chart = section.querySelector(".chart");
    if (!chart || !(chart.id in page.figures)) return;
    const { data, layout } = themed(page.figures[chart.id]);
    for (const [menu, place] of places(section)) {
      const [traces, changes] = layout.updatemenus[menu].buttons[place].args;
      for (const [path, values] of Object.entries(traces))
        data.forEach((trace, place) => set(trace, path, values[place]));
      for (const [path, value] of Object.entries(changes)) set(layout, path, value);
    }
    layout.margin.t = 40;
    delete layout.updatemenus;
    Plotly.react(chart, data, layout, page.config);
  }

  function fillGallery(section) {
    if (!section.querySelector(".which")) return;
    const which = shown(section);
    section.querySelector(".which").textContent = page.which[which];
    for (const tile of section.querySelectorAll("[data-fit]")) {
      const view = page.fits[tile.dataset.fit].views[which];
      fill(tile.querySelector("img"), view);
      tile.querySelector("span").textContent = view.line;
    }
  }

  function start(section) {
    section.addEventListener("change", () => {
      draw(section);
      fillGallery(section);
    });
    fillGallery(section);
    draw(section);
  }

  /* The link of the bar to the part of the page that is read. */
  function follow() {
    const links = [...document.querySelectorAll(".bar nav a")];
    const starts = links.map(({ hash }) => document.querySelector(hash).getBoundingClientRect().top);
    const place = starts.findLastIndex((top) => top < innerHeight / 3);
    links.forEach((link, at) => {
      const here = at === Math.max(place, 0);
      if (here && !link.classList.contains("here")) link.parentElement.parentElement.scrollLeft = link.offsetLeft - 80;
      link.classList.toggle("here", here);
      link.ariaCurrent = here ? "true" : null;
    });
  }

  /* A table as comma-separated values, with the rows that are folded away. */
  function asCsv(tables) {
    const cell = ({ textContent }) => `"${textContent.trim().replaceAll('"', '""')}"`;
    const rows = tables.flatMap((table, place) => [...table.rows].slice(place ? 1 : 0));
    return rows.map((row) => [...row.cells].map(cell).join(",")).join("\n");
  }

  for (const first of document.querySelectorAll(".wide > table")) {
    const place = first.parentElement;
    if (place.parentElement.matches("details") && place.previousElementSibling?.matches("summary")) continue;
    const more = place.nextElementSibling?.querySelectorAll(":scope > .wide > table") ?? [];
    place.before(copyButton("Copy as CSV", () => asCsv([first, ...more])));
  }

  const sections = [...document.querySelectorAll("section")];
  for (const image of document.querySelectorAll(".tile:not([data-fit]) img"))
    fill(image, { picture: image.dataset.picture, alt: image.alt });
  for (const section of sections) start(section);
  for (const event of ["scroll", "resize"]) addEventListener(event, follow, { passive: true });
  follow();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    sections.forEach(draw)
  );
})();
