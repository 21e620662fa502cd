// Colours: as the system has them, light, or dark.

const NAMES = { light: "Light", dark: "Dark" };
const NEXT = { "": "light", light: "dark", dark: "" };

// button: changes them in turn. whenChanged(): is called after that, and when the system changes.
export function offerThemes(button, whenThemed) {
  const set = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    button.textContent = NAMES[theme] ?? "Auto";
    button.setAttribute("aria-label", `${button.textContent}: colours ${theme || "as the system has them"}`);
    try {
      localStorage.setItem("carousel-theme", theme);
    } catch {
      /* nowhere to keep it */
    }
    whenThemed();
  };
  set(keptTheme());
  button.addEventListener("click", () => set(NEXT[document.documentElement.dataset.theme ?? ""]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", whenThemed);
}

function keptTheme() {
  try {
    const kept = localStorage.getItem("carousel-theme") ?? "";
    return kept in NEXT ? kept : "";
  } catch {
    return "";
  }
}
