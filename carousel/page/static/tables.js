// Elements, and tables of them.

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// A table whose first cells of rows are headings. A cell is a text, an element, or several of them.
export function table(caption, headings, rows) {
  const cell = (tag, scope, content) => {
    const made = make(tag, {}, ...[content].flat());
    if (scope) made.scope = scope;
    return made;
  };
  const head = make("tr", {}, ...headings.map((heading) => (heading === "" ? make("td") : cell("th", "col", heading))));
  const body = rows.map(([first, ...rest]) => make("tr", {}, cell("th", "row", first), ...rest.map((each) => cell("td", "", each))));
  const made = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  if (caption) made.createCaption().textContent = caption;
  return made;
}
