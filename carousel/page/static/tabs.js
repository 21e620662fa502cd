// Tabs: a button tab-X shows the view-X; the arrow keys go from one to the next.

const tabs = () => [...document.querySelectorAll("[role=tab]")];
const nameOfTab = (tab) => tab.id.replace(/^tab-/, "");

export const hasTab = (name) => tabs().some((tab) => nameOfTab(tab) === name);

export function listenToTabs(choose) {
  for (const tab of tabs()) {
    tab.addEventListener("click", () => choose(nameOfTab(tab)));
    tab.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      const open = tabs().filter((each) => !each.hidden);
      const next = open[(open.indexOf(tab) + way + open.length) % open.length];
      choose(nameOfTab(next));
      next.focus();
    });
  }
}

// Offers a tab or takes it away; where one is left, the bar goes, too.
export function offerTab(name, isOffered) {
  for (const tab of tabs()) if (nameOfTab(tab) === name) tab.hidden = !isOffered;
  document.getElementById("tabs").hidden = tabs().filter((tab) => !tab.hidden).length < 2;
}

export function showTab(name, visible) {
  for (const tab of tabs()) {
    const on = nameOfTab(tab) === name;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    document.getElementById(`view-${nameOfTab(tab)}`).hidden = !on || !visible;
  }
}
