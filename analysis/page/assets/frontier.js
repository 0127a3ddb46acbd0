(() => {
  const data = page.frontier;
  if (!data) return;
  const ALL = "all";
  const chart = document.getElementById("chart");
  const section = chart.closest("section");
  const heading = section.querySelector("h2");
  const words = section.querySelector(".words");
  const lists = new Map([...section.querySelectorAll("select")].map((s) => [s.dataset.choice, s]));
  const buttons = [...section.querySelectorAll("input")];
  const answers = [...section.querySelectorAll(".answers li")];
  const uids = new Map();
  const START = `#${heading.id}?`;
  const choices = new Choices(data);
  let choice = { ...data.first };

  const unique = (values) => [...new Set(values)];

  /* A list of one is no choice. */
  function fill(name, labels, texts = labels) {
    if (!labels.includes(choice[name])) choice[name] = labels[0];
    const options = labels.map((label, i) => new Option(texts[i], label));
    const list = lists.get(name);
    list.replaceChildren(...options);
    list.value = choice[name];
    list.parentElement.hidden = labels.filter((label) => label !== ALL).length < 2;
  }

  /* Every list offers what there is for the choices above it; what is gone gives way to the first. */
  function offer() {
    fill("task", unique(data.scenes.map(({ task }) => task)));
    const images = data.scenes.filter(({ task }) => task === choice.task);
    fill("image", images.map(({ image }) => image));
    for (const [name, labels] of Object.entries(scene().offers)) fill(name, labels);
    fill("axis", Object.keys(data.axes), Object.values(data.axes));
    const spreads = Object.entries(data.spreads).slice(0, scene().intervals ? undefined : 1);
    fill("spread", spreads.map(([name]) => name), spreads.map(([, text]) => text));
    if (!buttons.some(({ value }) => value === choice.which)) choice.which = data.first.which;
    for (const button of buttons) button.checked = button.value === choice.which;
  }

  function scene() {
    return data.scenes.find(({ task, image }) => task === choice.task && image === choice.image);
  }

  /* The sentences about what is chosen. */
  function answer() {
    for (const row of answers)
      row.hidden = Object.entries(JSON.parse(row.dataset.when)).some(
        ([field, value]) => ![ALL, value].includes(choice[field])
      );
  }

  /* Colours alone are the page's: the columns of a figure are not copied. */
  function coloured(trace) {
    for (const part of ["line", "marker"]) if (trace[part]) trace[part] = themed(trace[part]);
    if (trace.fillcolor) trace.fillcolor = themed(trace.fillcolor);
    return trace;
  }

  /* A trace is hidden by a click as long as its name is drawn. */
  function uid(name) {
    if (!uids.has(name)) uids.set(name, `trace${uids.size}`);
    return uids.get(name);
  }

  function draw() {
    const { task, image, range, ticks, traces, words: said } = scene();
    const layout = choices.resolved(themed(data.layout), choice);
    Object.assign(layout.xaxis, ticks[choice.axis], { uirevision: choice.axis });
    Object.assign(layout.yaxis, { range: [...range], uirevision: task + image });
    layout.margin.t = 36;
    const times = {};
    const drawn = choices.traces(traces, choice).map((trace) => {
      times[trace.name] = (times[trace.name] ?? 0) + 1;
      return { uid: uid(`${trace.name} ${times[trace.name]}`), ...coloured(trace) };
    });
    Plotly.react(chart, drawn, layout, page.config);
    words.textContent = said[choice.which][choice.axis];
  }

  /* The choice that a link to here carries, where it does. */
  function read() {
    if (!location.hash.startsWith(START)) return false;
    const said = new URLSearchParams(location.hash.slice(START.length));
    choice = { ...data.first, ...Object.fromEntries(said) };
    return true;
  }

  function keep() {
    history.replaceState(null, "", START + new URLSearchParams(choice));
  }

  function update() {
    offer();
    answer();
    draw();
    fits.again();
  }

  section.addEventListener("change", ({ target }) => {
    choice[target.dataset.choice ?? "which"] = target.value;
    update();
    keep();
  });
  addEventListener("hashchange", () => {
    if (!read()) return;
    update();
    heading.scrollIntoView();
  });
  const linked = read();
  update();
  if (linked) heading.scrollIntoView();
  for (const row of answers) {
    const see = row.querySelector("button");
    see.disabled = !page.fits[see.dataset.fit];
    see.addEventListener("click", () => fits.inspect(see.dataset.fit));
  }
  const first = answers.find((row) => !row.hidden && page.fits[row.querySelector("button")?.dataset.fit]);
  fits.inspect(first?.querySelector("button").dataset.fit ?? Object.keys(page.fits)[0]);
  chart.on("plotly_hover", ({ points: [point] }) => {
    chart.classList.toggle("named", !(point.customdata in page.fits));
    fits.inspect(fitOf(point));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
