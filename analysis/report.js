"use strict";
(() => {
  const { config, figures, fits, pictures } = JSON.parse(
    document.getElementById("data").textContent
  );
  const card = document.getElementById("card");
  const [title, picture, facts] = card.children;

  function list(rows) {
    return rows.flatMap(([name, value]) => {
      const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      detail.textContent = value;
      return [term, detail];
    });
  }

  function place({ clientX, clientY }) {
    const { width, height } = card.getBoundingClientRect();
    const left = clientX + 24 + width < innerWidth ? clientX + 24 : clientX - 24 - width;
    const top = clientY - height / 2;
    card.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    card.style.top = `${Math.max(8, Math.min(top, innerHeight - height - 8))}px`;
  }

  function show(fit, view, pointer) {
    title.textContent = fit.title;
    picture.hidden = view.picture < 0;
    picture.src = pictures[view.picture] ?? "";
    picture.alt = view.alt;
    facts.replaceChildren(...list([...view.rows, ...fit.rows]));
    card.hidden = false;
    place(pointer);
  }

  async function draw(id, { data, layout }) {
    const chart = document.getElementById(id);
    await Plotly.newPlot(chart, data, layout, config);
    chart.on("plotly_hover", ({ event, points: [{ customdata }] }) => {
      const fit = fits[customdata];
      if (fit) show(fit, fit.views[chart._fullLayout.updatemenus[0].active], event);
    });
    chart.on("plotly_unhover", () => (card.hidden = true));
    chart.on("plotly_buttonclicked", () => (card.hidden = true));
  }

  for (const image of document.querySelectorAll("img[data-picture]"))
    image.src = pictures[image.dataset.picture];
  for (const [id, figure] of Object.entries(figures)) draw(id, figure);
})();
