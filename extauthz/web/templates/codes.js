(() => {
  const codes = [...document.querySelectorAll("#codes code")].map((one) => one.textContent).join("\n");
  const said = document.getElementById("codes-said");
  document.getElementById("codes-tools").hidden = false;
  document.getElementById("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(codes);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Your browser does not let this page copy. Select the codes and copy them yourself.";
    }
  });
  document.getElementById("print").addEventListener("click", () => window.print());
})();
