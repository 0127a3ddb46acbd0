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

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/* Names and values as a list of terms. */
function terms(rows) {
  return rows.flatMap(([name, value]) => [
    element("dt", { textContent: name }),
    element("dd", { textContent: value }),
  ]);
}

/* The name of the fit that a mark of a figure is of or, of a mean, is nearest to. */
function fitOf({ customdata, id }) {
  return customdata in page.fits ? customdata : id;
}

/* A button that puts a text into the clipboard, and says so. */
function copyButton(label, text) {
  const copy = element("button", { type: "button", className: "copy", textContent: label });
  copy.addEventListener("click", async () => {
    await write(text());
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = label), 1500);
  });
  return copy;
}

/* Pages from files may have no clipboard of their own. */
async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const shown = element("textarea", { value: text });
  (document.querySelector("dialog[open]") ?? document.body).append(shown);
  shown.select();
  document.execCommand("copy");
  shown.remove();
}

/* The place among the three PSNRs of the one that a part of the page shows. */
function shown(section) {
  return Math.max(0, page.which.indexOf(section.querySelector("input:checked")?.value));
}

/* Shows the picture at that place of the page's, or hides the image where there is none. */
function fill(image, { picture, alt }) {
  image.hidden = picture < 0;
  if (picture < 0) image.removeAttribute("src");
  else image.src = page.pictures[picture];
  image.alt = alt;
}
