// The page of a kind of run: its module, which the server hands out.

const MODULES = { trees: "./trees.js", labels: "./labels.js", transcription: "./transcriptions.js" };

// A module has: cards, as HTML; steps, the names of the buttons and of the slider; saysOf(run); open(run), once the cards are there.
export const pageOf = (task) => import(MODULES[task]);
