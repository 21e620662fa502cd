// The page of the one kind of run that a file holds: what the module before this one exports.

export const pageOf = () => ({ cards, open, saysOf, steps });
