// The address is the link to what is seen; a button copies it.

import { note } from "./state.js";

export function offerLink(button) {
  button.addEventListener("click", async () => {
    note();
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The address is the link";
    }
    setTimeout(() => (button.textContent = "Copy link"), 1500);
  });
}
