const codes = [...document.querySelectorAll("#codes code")].map((one) => one.textContent).join("\n");
const said = document.querySelector("[data-said]");
document.querySelector("[data-tools]").hidden = false;
document.querySelector("[data-copy]").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(codes);
    said.textContent = "Copied.";
  } catch {
    said.textContent = "Your browser does not let this page copy. Select the codes and copy them yourself.";
  }
});
document.querySelector("[data-print]").addEventListener("click", () => window.print());
