// A column of A's map, dragged onto a word of B: B takes A's values there. Fingers scroll; for them, and for keys, there is the form.

import { columnAt, pictureOf, pointAt } from "./heatmap.js";

const FAR = 5; // pixels, from which on a press is no click
const canvasOf = (id) => document.querySelector(`#${id} canvas`);

// offered(): whether there is anything to put; put(i, j): A's word i into B at its word j, which may be none.
export function listenToDrags(seen, offered, put) {
  const source = canvasOf("map-a");
  let drag = null; // { column, x, y, strip, target, isOver }

  const targetAt = ({ clientX, clientY }) => {
    const onto = canvasOf(seen.b ? "map-b" : "map-a");
    const column = columnAt(onto, { clientX, clientY });
    if (column !== null) return { canvas: onto, column, word: column };
    const item = document.elementFromPoint(clientX, clientY)?.closest("#words li");
    const place = item ? [...item.parentNode.children].indexOf(item) : -1;
    return place < 0 ? null : { item, word: seen.places[place][seen.b ? 1 : 0] };
  };
  const aim = (target) => {
    drag.target?.item?.classList.remove("target");
    if (drag.target?.canvas) pointAt(drag.target.canvas, null);
    drag.target = target;
    target?.item?.classList.add("target");
    if (target?.canvas) pointAt(target.canvas, target.column);
  };
  const giveUp = () => {
    if (drag?.strip) aim(null);
    drag?.strip?.remove();
    if (drag) drag.isOver = true;
  };

  source.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch" || !offered()) return;
    const column = columnAt(source, event);
    if (column === null) return;
    source.setPointerCapture(event.pointerId); // a quick hand is elsewhere at once
    drag = { column, x: event.clientX, y: event.clientY, strip: null, target: null, isOver: false };
  });
  source.addEventListener("pointermove", (event) => {
    if (!drag || drag.isOver) return;
    if (!drag.strip) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < FAR) return;
      drag.strip = pictureOf(source, drag.column);
      document.body.append(drag.strip);
    }
    drag.strip.style.translate = `${event.clientX}px ${event.clientY}px`;
    aim(targetAt(event));
  });
  source.addEventListener("pointerup", () => {
    const { column, strip, target, isOver } = drag ?? {};
    giveUp();
    drag = null;
    if (!strip) return;
    const swallow = (event) => event.stopPropagation(); // it was no click
    addEventListener("click", swallow, { capture: true });
    setTimeout(() => removeEventListener("click", swallow, { capture: true }));
    if (!isOver && target && target.word !== null) put(column, target.word);
  });
  source.addEventListener("pointercancel", giveUp);
  document.addEventListener("selectstart", (event) => drag && event.preventDefault());
  document.addEventListener("keydown", (event) => event.key === "Escape" && giveUp());
}
