(() => {
  const data = page.explorer;
  if (!data) return;
  const chart = document.getElementById("explorer");
  const section = chart.closest("section");
  const heading = section.querySelector("h2");
  const words = section.querySelector(".words");
  const lists = new Map([...section.querySelectorAll("select")].map((s) => [s.dataset.choice, s]));
  const buttons = [...section.querySelectorAll("input")];
  const uids = new Map();
  const START = `#${heading.id}?`;
  const { rows, fits, series } = data;
  let choice = { ...data.first };
  let webgl;

  const unique = (values) => [...new Set(values)];
  const upTo = ([first, end]) => Array.from({ length: end - first }, (_, i) => first + i);
  const pick = (column, places) => places.map((place) => (place < 0 ? null : column[place]));

  function fill(name, labels, texts = labels) {
    if (!labels.includes(choice[name])) choice[name] = labels[0];
    const options = labels.map((label, i) => new Option(texts[i], label));
    lists.get(name).replaceChildren(...options);
    lists.get(name).value = choice[name];
  }

  /* Every list offers what there is for the choices above it; what is gone gives way to the first. */
  function offer() {
    fill("task", unique(data.scenes.map(({ task }) => task)));
    const images = data.scenes.filter(({ task }) => task === choice.task);
    fill("image", images.map(({ image }) => image));
    const own = upTo(scene().rows).map((row) => series[rows.series[row]]);
    fill("prior", [data.all, ...unique(own.map(({ network }) => network))]);
    const methods = own.filter(({ base }) => !base).map(({ method }) => method);
    fill("method", [data.all, ...unique(methods)]);
    const axes = Object.keys(data.axes);
    fill("axis", axes, axes.map((axis) => data.axes[axis].label));
    if (!(choice.which in data.titles)) choice.which = data.first.which;
    for (const button of buttons) button.checked = button.value === choice.which;
  }

  function scene() {
    return data.scenes.find(({ task, image }) => task === choice.task && image === choice.image);
  }

  function shown({ network, method, prior, base }) {
    const own = [data.all, network].includes(choice.prior) || (base && prior === data.decoder);
    return own && (base || [data.all, method].includes(choice.method));
  }

  function intervals(one, own, { low, high }) {
    return {
      type: "scatter",
      x: own.flatMap((row) => [rows[choice.axis][row], rows[choice.axis][row], null]),
      y: own.flatMap((row) => [low[row], high[row], null]),
      name: `${one.name}, interval`,
      mode: "lines",
      line: { color: one.colour, width: 5 },
      opacity: 0.25,
      hoverinfo: "skip",
      legendgroup: one.group,
      showlegend: false,
    };
  }

  /* Legend and hover label of means. */
  function named(one, own, { low, high, n }, unit) {
    const head = `${one.name}<br>${data.axes[choice.axis].hover}<br>%{y:.2f} dB`;
    const tail = (row) => data.tails[n[row] > 1 ? unit : "run"];
    return {
      type: "scatter",
      mode: "lines+markers",
      name: one.name,
      legendgroup: one.group,
      customdata: own.map((row) => [low[row], high[row], n[row]]),
      hovertemplate: own.map((row) => `${head}${tail(row)}<extra></extra>`),
    };
  }

  /* From the dense mean down the ladder. */
  function line(one, own, means, unit) {
    const top = rows.top[own[0]];
    const ladder = top < 0 ? own : [top, ...own];
    return {
      x: pick(rows[choice.axis], ladder),
      y: pick(means.mean, ladder),
      line: { color: one.colour, dash: one.dash, width: 2 },
      marker: { symbol: one.symbol, size: 9, opacity: 1 },
      ...named(one, ladder, means, unit),
    };
  }

  /* A dense network at its own cost. */
  function mark(one, own, means, unit) {
    return {
      x: pick(rows[choice.axis], own),
      y: pick(means.mean, own),
      line: { color: one.colour, dash: one.dash, width: 1.5 },
      marker: { symbol: one.symbol, size: 9, opacity: 1 },
      ...named(one, own, means, unit),
    };
  }

  /* A horizontal line at what a dense network reaches. */
  function level(one, value, ends) {
    return {
      type: "scatter",
      x: ends,
      y: [value, value],
      name: `${one.name}, level`,
      mode: "lines",
      line: { color: one.colour, dash: one.dash, width: 1.5 },
      hoverinfo: "skip",
      legendgroup: one.group,
      showlegend: false,
    };
  }

  function marks(own, label, many) {
    const costs = fits[choice.axis];
    return {
      type: many && hasWebgl() ? "scattergl" : "scatter",
      x: own.map((fit) => (costs ? costs[fit] : rows[choice.axis][fits.row[fit]])),
      y: pick(fits[choice.which], own),
      mode: "markers",
      opacity: many ? 0.3 : 0.6,
      customdata: pick(fits.id, own),
      text: own.map((fit) => `${rows.image[fits.row[fit]]}, seed ${fits.seed[fit]}`),
      hovertemplate:
        `${label}<br>%{text}<br>${data.axes[choice.axis].hover}<br>%{y:.2f} dB<extra></extra>`,
    };
  }

  /* Whether this browser has WebGL, which remote screens often lack. */
  function hasWebgl() {
    webgl ??= document.createElement("canvas").getContext("webgl") !== null;
    return webgl;
  }

  /* Open marks, and one trace for each way in which fits went wrong. */
  function fitTraces(own, ink) {
    const groups = new Map(series.filter(shown).map((one) => [one, []]));
    for (const fit of own) groups.get(series[rows.series[fits.row[fit]]])?.push(fit);
    const all = [...groups.values()].flat();
    const many = all.length > data.many;
    const traces = [];
    for (const [one, mine] of groups) {
      const good = mine.filter((fit) => !fits.broken[fit]);
      if (good.length)
        traces.push({
          ...marks(good, one.name, many),
          marker: { color: one.colour, symbol: `${one.symbol}-open`, size: many ? 4 : 6 },
          name: `${one.name}, fits`,
          legendgroup: one.group,
          showlegend: false,
        });
    }
    Object.entries(data.broken).forEach(([outcome, symbol], place) => {
      const bad = all.filter((fit) => fits.broken[fit] === place + 1);
      if (bad.length)
        traces.push({
          ...marks(bad, `${outcome} fit`, many),
          marker: { color: ink, symbol, size: 9, line: { color: ink, width: 1.5 } },
          name: `${outcome} fit`,
        });
    });
    return traces;
  }

  /* Steps from the cheapest to the best; rings around what is on the front. */
  function front(own, { mean }, ink) {
    return {
      type: "scatter",
      x: pick(rows[choice.axis], own),
      y: pick(mean, own),
      name: "Pareto front",
      mode: "lines+markers",
      line: { color: ink, width: 1, shape: "hv" },
      marker: { symbol: "circle-open", size: 16, color: ink },
      hoverinfo: "skip",
    };
  }

  function published({ x, y, text }, muted) {
    return {
      type: "scatter",
      x,
      y,
      name: "published",
      mode: "markers",
      marker: { symbol: "cross", size: 10, color: muted },
      text,
      hovertemplate: "published<br>%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
    };
  }

  function traces(own) {
    const { ink, muted } = page.palette;
    const means = rows[choice.which];
    const groups = new Map(series.filter(shown).map((one) => [one, []]));
    for (const row of upTo(own.rows)) groups.get(series[rows.series[row]])?.push(row);
    const drawn = [];
    for (const [one, mine] of groups) {
      if (!mine.length) continue;
      drawn.push(intervals(one, mine, means));
      if (one.base) {
        drawn.push(mark(one, mine, means, own.unit));
        drawn.push(...mine.map((row) => level(one, means.mean[row], own.ends[choice.axis])));
      } else drawn.push(line(one, mine, means, own.unit));
    }
    drawn.push(...fitTraces(upTo(own.fits), ink));
    drawn.push(front(own.fronts[choice.which][choice.axis], means, ink));
    const others = own.published[choice.which];
    if (others && choice.axis === "density") drawn.push(published(others, muted));
    return drawn;
  }

  /* Colours alone are the page's: the columns of a figure are not copied. */
  function coloured(trace) {
    for (const part of ["line", "marker"]) if (trace[part]) trace[part] = themed(trace[part]);
    return trace;
  }

  /* A trace is hidden by a click as long as its name is drawn. */
  function uid(name) {
    if (!uids.has(name)) uids.set(name, `trace${uids.size}`);
    return uids.get(name);
  }

  function draw() {
    const own = scene();
    const layout = themed(data.layout);
    layout.xaxis = { ...themed(data.axes[choice.axis].layout), uirevision: choice.axis };
    Object.assign(layout.yaxis, { range: [...own.range], uirevision: choice.task + choice.image });
    layout.yaxis.title.text = data.titles[choice.which];
    layout.margin.t = 40;
    const times = {};
    const drawn = traces(own).map((trace) => {
      times[trace.name] = (times[trace.name] ?? 0) + 1;
      return { uid: uid(`${trace.name} ${times[trace.name]}`), ...coloured(trace) };
    });
    Plotly.react(chart, drawn, layout, page.config);
    words.textContent = own.words[choice.which][choice.axis];
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
    draw();
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
  chart.on("plotly_hover", ({ points: [{ customdata }] }) =>
    chart.classList.toggle("named", !(customdata in page.fits))
  );
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
