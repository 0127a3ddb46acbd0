"use strict";
/* What the page was made with; its scripts share this. */
const page = JSON.parse(document.getElementById("data").textContent);

/* A figure in the page's own colours, which follow the system's light or dark scheme. */
function themed(figure) {
  const style = getComputedStyle(document.documentElement);
  const names = new Map(Object.entries(page.palette).map(([name, colour]) => [colour, name]));
  const own = (colour) => style.getPropertyValue(`--${names.get(colour)}`).trim();
  return JSON.parse(
    JSON.stringify(figure).replace(/#[0-9A-F]{6}/g, (c) => (names.has(c) ? own(c) : c))
  );
}
