const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

// Lets the form `name` ask the browser for a key before it is sent: `ask` turns options into the response to be sent,
// `reasons` say by the name of an error what to do about it, `otherwise` is said of every other one.
const beforeSending = (name, ask, reasons, otherwise) => {
  const form = document.getElementById(name);
  const button = form.querySelector("button");
  const said = document.getElementById(`${name}-said`);

  const say = (words) => {
    said.hidden = words === "";
    said.textContent = words;
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    button.disabled = true;
    try {
      const { rawId, response } = await ask(JSON.parse(form.dataset.options));
      const id = text(rawId);
      form.elements.answer.value = JSON.stringify({ id, rawId: id, type: "public-key", response });
      form.submit();
    } catch (error) {
      say(reasons[error.name] ?? otherwise);
      button.disabled = false;
      button.focus();
    }
  });

  const able = window.PublicKeyCredential !== undefined;
  say(able ? "" : "Your browser can't use security keys or passkeys.");
  button.hidden = !able;
};
