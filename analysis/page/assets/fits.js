/* The fit that is pointed at, beside the figure, and the dialog that compares its pictures. */
const fits = (() => {
  /* Errors are shown in these colours, dark to light: none, to WORST grey levels of 255 or more. */
  const RAMP = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const WORST = 64;
  const MOST_HELD = 4;
  const NONE = { picture: -1, alt: "" };

  let current;
  let which = 0;
  let turns = 0;
  let sides = ["Measurement", "Reconstruction"];
  const held = [];
  const known = new WeakSet();

  const button = (text, more = {}) =>
    element("button", { type: "button", textContent: text, ...more });

  /* All that is told of a fit at the step that is chosen. */
  function told(name) {
    const [card, near] = [page.fits[name], page.gallery[name] ?? {}];
    const { picture, alt, line, rows } = card.views[which];
    return {
      card,
      near,
      title: card.title ?? alt,
      rows: [...(rows ?? [["PSNR", line]]), ...(card.rows ?? [])],
      pictures: {
        Truth: { picture: near.clean ?? -1, alt: "The true image" },
        Measurement: { picture: near.measured ?? -1, alt: "The measurement" },
        Reconstruction: { picture, alt },
        Dense: page.fits[near.dense]?.views[which] ?? NONE,
      },
    };
  }

  /* Channels as grey levels, four a pixel. */
  function pixels(image) {
    const { naturalWidth: width, naturalHeight: height } = image;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, width, height).data;
  }

  /* The mean over the three channels of |reconstruction − truth|, a number a pixel. */
  function differences(truth, found) {
    const [one, other] = [pixels(truth), pixels(found)];
    return Float32Array.from({ length: one.length / 4 }, (_, place) => {
      let sum = 0;
      for (let i = 4 * place; i < 4 * place + 3; i += 1) sum += Math.abs(one[i] - other[i]);
      return sum / 3;
    });
  }

  function colour(error) {
    const at = Math.min(error / WORST, 1) * (RAMP.length - 1);
    const place = Math.min(Math.floor(at), RAMP.length - 2);
    return RAMP[place].map((low, i) => low + (at - place) * (RAMP[place + 1][i] - low));
  }

  function painted(errors, width, height) {
    const map = element("canvas", { width, height });
    const image = new ImageData(width, height);
    errors.forEach((error, place) => image.data.set([...colour(error), 255], 4 * place));
    map.getContext("2d").putImageData(image, 0, 0);
    return map.toDataURL();
  }

  async function decoded({ picture }) {
    const image = element("img", { src: page.pictures[picture] });
    await image.decode();
    return image;
  }

  /* The error map and what it comes to; nothing where truth and reconstruction are not both there
     and of one size. */
  async function errorMap({ Truth, Reconstruction }) {
    if (Truth.picture < 0 || Reconstruction.picture < 0) return null;
    const [truth, found] = await Promise.all([decoded(Truth), decoded(Reconstruction)]);
    const { naturalWidth: width, naturalHeight: height } = truth;
    if (width !== found.naturalWidth || height !== found.naturalHeight) return null;
    const errors = differences(truth, found);
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    const largest = errors.reduce((most, error) => Math.max(most, error), 0);
    const sizes = `mean ${mean.toFixed(1)}, largest ${largest.toFixed(0)}`;
    return { src: painted(errors, width, height), sizes, width, height };
  }

  /* What can be done with a fit; `pin` is what the button says of one that is not held. */
  function enable({ denser, sparser, hold }, name, pin) {
    const near = page.gallery[name];
    denser.disabled = !near?.denser;
    sparser.disabled = !near?.sparser;
    hold.textContent = held.includes(name) ? "Pinned" : pin;
    hold.disabled = held.includes(name) || held.length >= MOST_HELD;
  }

  /* ---- the dialog ---- */

  const title = element("h2", { id: "fit-title" });
  const close = button("Close");
  const [left, right] = [element("img", { className: "left" }), element("img")];
  const stage = element("div", { className: "stage" }, right, left, element("i"));
  const zoomed = element("div", { className: "zoomed", tabIndex: 0 }, stage);
  const split = element("input", { type: "range", min: 0, max: 100, value: 50 });
  const zoom = element("select", {}, ...[1, 2, 4, 8].map((n) => new Option(n > 1 ? `× ${n}` : "fit", n)));
  const thumbs = element("div", { className: "thumbs" });
  const bar = element("span", { className: "bar" });
  const said = element("span");
  const legend = element("p", { className: "scale" }, "0 ", bar, ` ${WORST} or more. `, said);
  const facts = element("dl");
  const curve = element("div", { className: "curve" });
  const layers = element("div", { className: "layers" });
  const again = element("div", { className: "again" });
  const denser = button("← Denser");
  const sparser = button("Sparser →");
  const hold = button("Pin beside others");
  const compare = element(
    "div",
    { className: "compare" },
    thumbs,
    zoomed,
    element("label", {}, "Divider ", split),
    element("label", {}, "Zoom ", zoom),
    legend
  );
  const about = element("div", { className: "about" }, facts, curve, layers, again);
  const dialog = element(
    "dialog",
    { id: "fit" },
    element("header", {}, title, close, denser, sparser, hold),
    element("div", { className: "columns" }, compare, about)
  );
  zoomed.setAttribute("aria-label", "The two pictures, one beside the other");
  zoomed.setAttribute("role", "group");

  /* The pictures that can be compared: those of the fit, then those of the fits that are held. */
  function offered(fit, map) {
    const found = Object.entries(fit.pictures).map(([name, { picture, alt }]) => [
      name,
      { src: page.pictures[picture], alt, place: picture },
    ]);
    if (map) found.push(["Error", { src: map.src, alt: `Error map: ${map.sizes} of 255 grey levels` }]);
    for (const name of held.filter((one) => one !== current)) {
      const other = told(name);
      const { picture, alt } = other.pictures.Reconstruction;
      found.push([alt, { src: page.pictures[picture], alt }]);
    }
    return found.filter(([, { src }]) => src);
  }

  /* Whatever is clicked comes to the right, and what was there goes to the left. */
  function showThumbs(shown) {
    const focused = thumbs.contains(document.activeElement);
    thumbs.replaceChildren(
      ...shown.map(([name, { src, alt }]) => {
        const side = sides.indexOf(name);
        const badge = element("span", { textContent: side < 0 ? name : `${name} (${["left", "right"][side]})` });
        const one = button("", { className: side < 0 ? "" : "on" });
        one.append(element("img", { src, alt }), badge);
        one.addEventListener("click", () => {
          if (name !== sides[1]) sides = [sides[1], name];
          showThumbs(shown);
        });
        return one;
      })
    );
    if (focused) thumbs.children[shown.findIndex(([name]) => name === sides[1])]?.focus();
    const byName = Object.fromEntries(shown);
    for (const [image, name] of [[left, sides[0]], [right, sides[1]]]) {
      image.hidden = !byName[name];
      if (byName[name]) Object.assign(image, { src: byName[name].src, alt: byName[name].alt });
    }
    legend.hidden = !byName.Error;
    stage.hidden = left.hidden && right.hidden;
  }

  function showSides(fit, map) {
    const shown = offered(fit, map);
    const names = shown.map(([name]) => name);
    const spare = ["Measurement", "Reconstruction"].filter((name) => names.includes(name));
    sides = sides.map((name, place) => (names.includes(name) ? name : spare[place] ?? names[0]));
    showThumbs(shown);
  }

  /* Whoever goes on to the next fit meanwhile ends the decoding of these pictures. */
  async function showPictures(fit) {
    const turn = (turns += 1);
    showSides(fit, null);
    let map = null;
    try {
      map = await errorMap(fit.pictures);
    } catch (problem) {
      if (turn === turns) throw problem;
    }
    if (turn !== turns || !map) return;
    said.textContent =
      `|reconstruction − truth| in grey levels of 255, mean over channels: ${map.sizes}. ` +
      `Measured on the pictures shown, ${map.width} × ${map.height} pixels.`;
    showSides(fit, map);
    stage.classList.toggle("coarse", map.width < 256);
  }

  /* PSNR by step of this fit, the dense one and those that are held, with the marked steps. */
  function showCurve(fit) {
    const names = [...new Set([current, fit.near.dense, ...held])].filter((name) => page.fits[name]?.curve);
    curve.hidden = !fit.card.curve;
    if (curve.hidden) return;
    const style = getComputedStyle(document.documentElement);
    const [ink, muted, grid] = ["--ink", "--muted", "--grid"].map((name) => style.getPropertyValue(name).trim());
    const lines = names.map((name, place) => {
      const other = told(name);
      return {
        x: other.card.curve.step,
        y: other.card.curve.psnr,
        name: other.title,
        mode: "lines",
        line: {
          width: place ? 1.5 : 2.5,
          dash: name === fit.near.dense ? "dash" : "solid",
          color: !place ? ink : name === fit.near.dense ? muted : page.colours[place % page.colours.length],
        },
      };
    });
    const { step, psnr } = fit.card.curve;
    const marks = fit.card.views.map((view, place) => [page.which[place], step.findIndex((at) => at >= view.step)]);
    const marked = {
      x: marks.map(([, at]) => step[at]),
      y: marks.map(([, at]) => psnr[at]),
      text: marks.map(([name]) => name),
      mode: "markers+text",
      textposition: marks.map(([name]) => ({ selected: "bottom right", peak: "top right" })[name] ?? "top left"),
      marker: { size: 9, color: ink },
      showlegend: false,
      hoverinfo: "x+y+text",
      cliponaxis: false,
    };
    const known = lines.flatMap(({ x, y }) => y.filter((_, at) => x[at] >= 0.04 * x.at(-1) && y[at] !== null));
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const axis = { gridcolor: grid, linecolor: muted, zeroline: false, showline: true, fixedrange: true };
    const layout = {
      height: 240,
      margin: { l: 44, r: 12, t: 12, b: 64 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 11, color: ink },
      xaxis: { ...axis, title: { text: "Step" } },
      yaxis: { ...axis, title: { text: "PSNR (dB)" }, range: [low - 0.5, high + 0.14 * (high - low) + 0.5] },
      showlegend: lines.length > 1,
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", font: { size: 10 } },
      dragmode: false,
    };
    Plotly.react(curve, [...lines, marked], layout, { ...page.config, displayModeBar: false });
  }

  function showLayers({ card }) {
    layers.hidden = !card.layers;
    if (layers.hidden) return;
    const { name, kept } = card.layers;
    const bars = kept.map((share, place) => {
      const one = element("span", { title: `${name[place]}: ${share}` });
      one.style.setProperty("--share", share);
      return one;
    });
    const said = `Density by layer, from ${Math.min(...kept)} to ${Math.max(...kept)}`;
    const drawn = element("div", { role: "img", ariaLabel: said }, ...bars);
    layers.replaceChildren(element("h3", { textContent: said }), drawn);
  }

  function copied(text) {
    const shown = element("pre", { textContent: text, tabIndex: 0 });
    const copy = copyButton("Copy", () => {
      getSelection().selectAllChildren(shown);
      return text;
    });
    return element("div", { className: "copied" }, shown, copy);
  }

  function folded(name, text) {
    return element("details", {}, element("summary", { textContent: name }), copied(text));
  }

  function showAgain({ card }) {
    const file = page.sweeps[card.sweep];
    const folds = [];
    if (card.place) {
      const image = `'${card.image.replaceAll("'", `'\\''`)}'`;
      const command = `lip picture ${card.place} --image ${image} --which ${page.which[which]} -o restored.png`;
      folds.push(folded("Save the restored image as a file", command));
    }
    if (file) folds.push(folded("The sweep file of this trial", file));
    again.replaceChildren(...folds);
  }

  function show(name) {
    const fit = told(name);
    current = name;
    title.textContent = fit.title;
    facts.replaceChildren(...terms(fit.rows));
    enable({ denser, sparser, hold }, name, "Pin beside others");
    showPictures(fit);
    showLayers(fit);
    showAgain(fit);
    showCurve(fit);
  }

  /* Goes to the next density of the method, where there is one. */
  function step(side) {
    const next = page.gallery[current]?.[side];
    if (next) show(next);
  }

  function open(name, section) {
    if (!page.fits[name]) return;
    which = shown(section);
    dialog.showModal();
    show(String(name));
    enlarge(1);
  }

  /* ---- the panel beside the figure ---- */

  const panel = document.querySelector(".inspector");
  const shelf = element("div", { className: "held", hidden: true });
  const inspected = {
    title: element("h3"),
    picture: element("img", { alt: "" }),
    small: ["Truth", "Measurement"].map((name) =>
      element("figure", {}, element("img", { alt: "" }), element("figcaption", { textContent: name }))
    ),
    facts: element("dl"),
    denser: button("← Denser"),
    sparser: button("Sparser →"),
    compare: button("Compare"),
    hold: button("Pin"),
  };
  let pointed;

  function furnish() {
    const { title, picture, small, facts, denser, sparser, compare, hold } = inspected;
    const pictures = element("div", { className: "pictures" }, picture, ...small);
    const buttons = element("div", { className: "buttons" }, denser, sparser, compare, hold);
    panel.replaceChildren(title, pictures, facts, buttons);
    panel.after(shelf);
    for (const side of ["denser", "sparser"])
      inspected[side].addEventListener("click", () => inspect(page.gallery[pointed]?.[side]));
    for (const way of [compare, picture])
      way.addEventListener("click", () => open(pointed, panel.closest("section")));
    hold.addEventListener("click", () => keep(pointed));
  }

  /* Shows a fit in the panel; nothing where the page knows no more of it than its mark. */
  function inspect(name) {
    if (!panel || !page.fits[name]) return;
    if (pointed === undefined) furnish();
    pointed = String(name);
    which = shown(panel.closest("section"));
    const fit = told(pointed);
    inspected.title.textContent = fit.title;
    fill(inspected.picture, fit.pictures.Reconstruction);
    for (const figure of inspected.small) {
      const [image, caption] = figure.children;
      fill(image, fit.pictures[caption.textContent]);
      figure.hidden = image.hidden;
    }
    inspected.facts.replaceChildren(...terms(fit.rows));
    enable(inspected, pointed, "Pin");
  }

  function keep(name) {
    if (!held.includes(name) && held.length < MOST_HELD) held.push(name);
    showShelf();
  }

  /* The fits that are held, side by side. */
  function showShelf() {
    if (!panel) return;
    const before = which;
    which = shown(panel.closest("section"));
    shelf.hidden = !held.length;
    const tiles = held.map((name) => {
      const fit = told(name);
      const image = element("img");
      fill(image, fit.pictures.Reconstruction);
      const see = button("", { title: "Compare" });
      see.append(image, element("b", { textContent: fit.title }), element("span", { textContent: fit.rows.find(([name]) => name === "PSNR")?.[1] ?? "" }));
      see.addEventListener("click", () => open(name, panel.closest("section")));
      const drop = button("×", { ariaLabel: `Unpin ${fit.title}`, className: "drop" });
      drop.addEventListener("click", () => {
        held.splice(held.indexOf(name), 1);
        showShelf();
      });
      return element("div", { className: "kept" }, see, drop);
    });
    shelf.replaceChildren(element("h3", { textContent: "Pinned side by side" }), element("div", { className: "strip" }, ...tiles));
    if (pointed !== undefined) inspect(pointed);
    which = before;
  }

  /* A figure that is drawn by now says which of its marks is clicked. */
  function listen(chart) {
    if (!chart?.on || known.has(chart)) return;
    known.add(chart);
    chart.on("plotly_click", ({ points: [point] }) => {
      inspect(fitOf(point)); // a finger does not hover
      open(fitOf(point), chart.closest("section"));
    });
  }

  bar.style.background = `linear-gradient(90deg, ${RAMP.map((rgb) => `rgb(${rgb})`)})`;
  dialog.setAttribute("aria-labelledby", title.id);
  /* A click beside it closes it too, but not the click that follows the tap which opened it. */
  document.addEventListener(
    "pointerdown",
    () => dialog.setAttribute("closedby", dialog.open ? "any" : "closerequest"),
    true
  );
  document.body.append(dialog);
  close.addEventListener("click", () => dialog.close());
  denser.addEventListener("click", () => step("denser"));
  sparser.addEventListener("click", () => step("sparser"));
  hold.addEventListener("click", () => {
    keep(current);
    show(current);
  });
  /* The divider is at its share of what is seen of the pictures, however far these are zoomed. */
  function part() {
    const at = zoomed.scrollLeft + (split.value / 100) * zoomed.clientWidth;
    stage.style.setProperty("--split", `${(100 * at) / stage.clientWidth}%`);
  }
  function enlarge(times) {
    zoom.value = times;
    stage.style.setProperty("--zoom", times);
    zoomed.scrollLeft = (stage.clientWidth - zoomed.clientWidth) / 2;
    zoomed.scrollTop = (stage.clientHeight - zoomed.clientHeight) / 2;
    part();
  }
  split.addEventListener("input", part);
  zoomed.addEventListener("scroll", part);
  zoom.addEventListener("change", () => enlarge(zoom.value));
  for (const event of ["pointerdown", "pointermove"])
    stage.addEventListener(event, ({ buttons, clientX, movementX, movementY, pointerType }) => {
      if (!buttons && pointerType !== "touch") return;
      if (zoom.value > 1) {
        if (event === "pointermove") zoomed.scrollBy(-movementX, -movementY);
        return;
      }
      const { left: start, width } = stage.getBoundingClientRect();
      split.value = Math.round((100 * (clientX - start)) / width);
      part();
    });
  /* Of the page: where the button that has the focus is disabled, nothing in the dialog has it. */
  document.addEventListener("keydown", ({ key, target }) => {
    if (!dialog.open || target.matches("input, select, pre, .zoomed")) return;
    if (key === "ArrowLeft") step("denser");
    if (key === "ArrowRight") step("sparser");
  });
  for (const tile of document.querySelectorAll(".tile[data-fit]")) {
    const picture = [...tile.children].filter(({ tagName }) => tagName !== "FIGCAPTION");
    tile.prepend(element("button", { type: "button" }, ...picture));
  }
  document.addEventListener("click", ({ target }) => {
    const tile = target.closest(".tile[data-fit]");
    if (tile) open(tile.dataset.fit, tile.closest("section"));
  });
  for (const event of ["pointerover", "pointerdown"])
    document.addEventListener(event, ({ target }) => listen(target.closest(".chart.carded")), true);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dialog.open && show(current));
  /* What is held, by names that outlive the page: those of cards are of one page alone. */
  const lasting = (name) => `${page.fits[name].place} ${page.fits[name].views[0].alt}`;
  const holding = () => held.map(lasting);
  function holdAgain(kept) {
    for (const name of Object.keys(page.fits)) if (kept.includes(lasting(name))) keep(name);
  }

  return { inspect, holding, hold: holdAgain, again: showShelf };
})();
