/* A figure that follows a choice: `charts/choices.py` says what its descriptions are made of. */
class Choices {
  #columns;
  #templates;
  #conditions;
  #most;
  #webgl;

  constructor({ columns, templates, conditions, most }) {
    this.#columns = Object.fromEntries(
      Object.entries(columns).map(([name, column]) => [name, Choices.#unpacked(column)])
    );
    this.#templates = templates;
    this.#conditions = conditions;
    this.#most = most;
  }

  /* Plotly's traces for a choice. */
  traces(packed, choice) {
    const shown = packed
      .map(([template, ...pieces]) => ({
        template: this.#templates[template],
        pieces: pieces.filter(([when]) => this.#holds(when, choice)),
      }))
      .filter(({ pieces }) => pieces.length)
      .map(({ template, pieces }) => ({ template, places: pieces.flatMap(Choices.#places) }));
    const crowding = shown.filter(({ template }) => template.type.by === "crowd");
    const marks = crowding.reduce((sum, { places }) => sum + places.length, 0);
    const crowd = marks > this.#most ? "many" : "few";
    return shown.map(({ template, places }) =>
      this.#drawable(this.resolved(template, { ...choice, crowd }, places))
    );
  }

  /* A description as Plotly takes it: all references followed. */
  resolved(node, choice, places = []) {
    const inner = (part) => this.resolved(part, choice, places);
    if (node === null || typeof node !== "object" || Array.isArray(node)) return node;
    if ("column" in node) {
      const column = this.#columns[node.column];
      const own = "by" in node ? column[choice[node.by]] : column;
      const values = places.map((place) => own[place]);
      return "of" in node ? values.map((value) => inner(node.of)[value]) : values;
    }
    if ("rows" in node) return Choices.#zipped(node.rows.map(inner));
    if ("gapped" in node)
      return Choices.#zipped(node.gapped.map(inner)).flatMap((row) => [...row, null]);
    if ("around" in node) {
      const [there, back] = node.around.map(inner);
      return [...there, ...back.reverse()];
    }
    if ("by" in node) return inner(node.of[choice[node.by]]);
    return Object.fromEntries(Object.entries(node).map(([name, part]) => [name, inner(part)]));
  }

  #holds(when, choice) {
    return Object.entries(this.#conditions[when]).every(([field, values]) =>
      values.includes(choice[field])
    );
  }

  /* Remote screens often lack WebGL. */
  #drawable(trace) {
    if (trace.type !== "scattergl") return trace;
    this.#webgl ??= document.createElement("canvas").getContext("webgl") !== null;
    return this.#webgl ? trace : { ...trace, type: "scatter" };
  }

  /* Those of a piece: its condition, then for each run of places its first and its length. */
  static #places([, ...runs]) {
    const found = [];
    for (let at = 0; at < runs.length; at += 2)
      for (let step = 0; step < runs[at + 1]; step++) found.push(runs[at] + step);
    return found;
  }

  static #zipped(lists) {
    return lists[0].map((_, place) => lists.map((list) => list[place]));
  }

  static #unpacked(column) {
    if (Array.isArray(column)) return column;
    if ("codes" in column) return column.codes.map((code) => column.values[code]);
    return Object.fromEntries(
      Object.entries(column).map(([value, own]) => [value, Choices.#unpacked(own)])
    );
  }
}
