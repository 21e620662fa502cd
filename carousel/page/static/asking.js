// Questions of a panel. The latest wins: an answer to an older one that comes late is dropped, and so is one to what is no
// longer seen. What goes wrong is said in the panel.

// say(line): said while it is asked (""), and where it is refused. Gives ask(question, show), and drop() for what is asked.
export function asking(say) {
  let asked = 0;
  const ask = async (question, show) => {
    const turn = (asked += 1);
    let answer;
    try {
      answer = await question();
    } catch (error) {
      if (turn === asked) say(error.message);
      return;
    }
    if (turn !== asked) return;
    say("");
    show(answer);
  };
  return { ask, drop: () => (asked += 1) };
}
