(() => {
  /* Errors are shown in these colours, dark to light: none, to WORST grey levels of 255 or more. */
  const RAMP = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const WORST = 64;
  const NAMES = ["Truth", "Measurement", "Reconstruction"];

  let current;
  let which;
  let turns = 0;
  const known = new WeakSet();

  function view(name, picture) {
    const blank = element("div", { className: "blank", textContent: "no picture" });
    return element("figure", {}, picture, blank, element("figcaption", { textContent: name }));
  }

  const title = element("h2", { id: "fit-title" });
  const close = element("button", { type: "button", textContent: "Close" });
  const images = NAMES.map(() => element("img"));
  const map = element("canvas", { role: "img" });
  const views = [...images.map((image, place) => view(NAMES[place], image)), view("Error", map)];
  const bar = element("span", { className: "bar" });
  const said = element("span");
  const legend = element("p", { className: "scale" }, "0 ", bar, ` ${WORST} or more. `, said);
  const facts = element("dl");
  const denser = element("button", { type: "button", textContent: "← Denser" });
  const sparser = element("button", { type: "button", textContent: "Sparser →" });
  const dialog = element(
    "dialog",
    { id: "fit" },
    element("header", {}, title, close),
    element("div", { className: "views" }, ...views),
    legend,
    facts,
    element("footer", {}, denser, sparser)
  );

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

  function paint(errors, width, height) {
    [map.width, map.height] = [width, height];
    const image = new ImageData(width, height);
    errors.forEach((error, place) => image.data.set([...colour(error), 255], 4 * place));
    map.getContext("2d").putImageData(image, 0, 0);
  }

  /* The error map, where truth and reconstruction are both there and of one size. Whoever goes on to
     the next fit meanwhile ends the decoding of these pictures. */
  async function drawErrors() {
    const [truth, , found] = images;
    const turn = (turns += 1);
    map.hidden = legend.hidden = true;
    if (truth.hidden || found.hidden) return;
    try {
      await Promise.all([truth.decode(), found.decode()]);
    } catch (problem) {
      if (turn === turns) throw problem;
    }
    const { naturalWidth: width, naturalHeight: height } = truth;
    if (turn !== turns || width !== found.naturalWidth || height !== found.naturalHeight) return;
    const errors = differences(truth, found);
    paint(errors, width, height);
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    const largest = errors.reduce((most, error) => Math.max(most, error), 0);
    const sizes = `mean ${mean.toFixed(1)}, largest ${largest.toFixed(0)}`;
    said.textContent =
      `|reconstruction − truth| in grey levels of 255, mean over channels: ${sizes}. ` +
      `Measured on the pictures shown, ${width} × ${height} pixels.`;
    map.ariaLabel = `Error map: ${sizes} of 255 grey levels`;
    dialog.classList.toggle("coarse", width < 128);
    map.hidden = legend.hidden = false;
  }

  function show(name) {
    const [fit, near] = [page.fits[name], page.gallery[name]];
    const { picture, alt, line, rows } = fit.views[which];
    current = name;
    title.textContent = fit.title ?? alt;
    fill(images[0], { picture: near?.clean ?? -1, alt: "The true image" });
    fill(images[1], { picture: near?.measured ?? -1, alt: "The measurement" });
    fill(images[2], { picture, alt });
    facts.replaceChildren(...terms([...(rows ?? [["PSNR", line]]), ...(fit.rows ?? [])]));
    denser.disabled = !near?.denser;
    sparser.disabled = !near?.sparser;
    drawErrors();
  }

  /* Goes to the next density of the method, where there is one. */
  function step(side) {
    const next = page.gallery[current]?.[side];
    if (next) show(next);
  }

  function open(name, section) {
    if (!page.fits[name]) return;
    which = shown(section);
    show(String(name));
    dialog.showModal();
  }

  /* A figure that is drawn by now says which of its marks is clicked. */
  function listen(chart) {
    if (!chart?.on || known.has(chart)) return;
    known.add(chart);
    chart.on("plotly_click", ({ points: [{ customdata }] }) =>
      open(customdata, chart.closest("section"))
    );
  }

  bar.style.background = `linear-gradient(90deg, ${RAMP.map((rgb) => `rgb(${rgb})`)})`;
  dialog.setAttribute("aria-labelledby", title.id);
  dialog.setAttribute("closedby", "any"); // a click beside it too
  document.body.append(dialog);
  close.addEventListener("click", () => dialog.close());
  denser.addEventListener("click", () => step("denser"));
  sparser.addEventListener("click", () => step("sparser"));
  dialog.addEventListener("keydown", ({ key }) => {
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
})();
