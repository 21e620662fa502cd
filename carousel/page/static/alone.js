// The page without a run: cells are written, and nothing else.

import { offerLink } from "./link.js";
import { change, fromHash } from "./state.js";
import { offerThemes } from "./theme.js";
import { offerCells } from "./write.js";

const $ = (id) => document.getElementById(id);

const begin = () => change({ ...fromHash(location.hash), tab: "write" });

offerCells($("view-write"));
offerThemes($("theme"), () => {});
offerLink($("copy"));
addEventListener("hashchange", begin);
begin();
