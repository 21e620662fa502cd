// The field in which equations are typed: with numbers of lines, and the line that is refused marked.

const INDENT = "    ";

export class Editor {
  // field: a textarea; gutter: the numbers beside it; strip: what marks a line; says: where the reason stands.
  constructor({ field, gutter, strip, says }, whenTyped) {
    Object.assign(this, { field, gutter, strip, says });
    field.addEventListener("input", (event) => {
      this.number();
      if (!event.isComposing) whenTyped();
    });
    field.addEventListener("compositionend", whenTyped);
    field.addEventListener("keydown", (event) => this.key(event));
  }

  get text() {
    return this.field.value;
  }

  set text(value) {
    if (this.field.value !== value) this.field.value = value;
    this.number();
  }

  number() {
    const count = this.field.value.split("\n").length;
    this.field.rows = Math.max(count, 8);
    while (this.gutter.children.length > count) this.gutter.lastChild.remove();
    while (this.gutter.children.length < count) this.gutter.append(document.createElement("li"));
  }

  // A new line begins where the one before did, or deeper after a colon.
  key(event) {
    if (event.key !== "Enter" || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const { field } = this;
    const line = field.value.slice(0, field.selectionStart).split("\n").at(-1);
    const indent = line.match(/^\s*/)[0] + (/:\s*$/.test(line) ? INDENT : "");
    // execCommand, old as it is, keeps the browser's undo.
    if (document.execCommand?.("insertText", false, `\n${indent}`)) return;
    field.setRangeText(`\n${indent}`, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input"));
  }

  // What is wrong with the text, and in which line; null: nothing.
  mark(reason, line = null) {
    const wrong = reason !== null;
    for (const [k, item] of [...this.gutter.children].entries()) item.classList.toggle("wrong", wrong && k + 1 === line);
    this.strip.hidden = !wrong || line === null;
    if (line !== null) this.strip.style.setProperty("--line", line - 1);
    this.field.setAttribute("aria-invalid", wrong);
    const [what, more] = (reason ?? "").split(/; (?=the functions of carousel)/);
    const said = wrong ? `${line === null ? "" : `Line ${line}: `}${what}.` : "";
    if (this.said === said) return;
    this.said = said;
    this.says.textContent = said;
    if (more) this.says.append(Object.assign(document.createElement("span"), { className: "facts", textContent: more }));
  }
}
