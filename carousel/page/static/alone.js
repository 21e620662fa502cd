// The page without a run: cells are written, and nothing else.

import { change, fromHash, note } from "./state.js";
import { offerThemes } from "./theme.js";
import { offerCells } from "./write.js";

const $ = (id) => document.getElementById(id);

async function copyLink() {
  note();
  try {
    await navigator.clipboard.writeText(location.href);
    $("copy").textContent = "Copied";
  } catch {
    $("copy").textContent = "The address is the link";
  }
  setTimeout(() => ($("copy").textContent = "Copy link"), 1500);
}

const begin = () => change({ ...fromHash(location.hash), tab: "write" });

offerCells($("view-write"));
offerThemes($("theme"), () => {});
$("copy").addEventListener("click", copyLink);
addEventListener("hashchange", begin);
begin();
