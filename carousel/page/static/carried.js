// How far B's guess of what follows the text has come towards A's by what it took from A.

import { askWatch } from "./api.js";
import { modelOfB } from "./models.js";
import { show, written } from "./numbers.js";
import { state } from "./state.js";

const likeliest = ({ predictions }) => predictions.at(-1)?.[0]?.[0];

// The line that says it; empty for translators, and where A and B foretell the same, or one of the two words is not among the likeliest of the other.
export async function carried(a, b) {
  if (a.source !== undefined || !state.clamps.some((clamp) => clamp.of !== undefined)) return "";
  const bare = await askWatch(state.other ?? state.text, [], modelOfB());
  const [ofA, ofB] = [likeliest(a), likeliest(bare)];
  const bits = (run) => {
    const chances = new Map(run.predictions.at(-1));
    return Math.log2(chances.get(ofA) / chances.get(ofB));
  };
  const share = (bits(b) - bits(bare)) / (bits(a) - bits(bare));
  if (ofA === ofB || !Number.isFinite(share)) return "";
  return `After the last word B has come ${show(100 * share, 0)} % of the way from “${written(ofB)}” to A's “${written(ofA)}”.`;
}
