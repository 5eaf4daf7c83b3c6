// Before the first paint: the theme that was chosen here, else what the system wants.
try {
  const chosen = localStorage.getItem("octoq.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off: the system's theme it is.
}
