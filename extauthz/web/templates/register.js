(() => {
  const form = document.getElementById("register");
  const button = form.querySelector("button");
  const said = document.getElementById("register-said");

  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");

  const say = (words) => {
    said.hidden = words === "";
    said.textContent = words;
  };

  const ask = async () => {
    const options = JSON.parse(form.dataset.options);
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    for (const one of options.excludeCredentials ?? []) {
      one.id = bytes(one.id);
    }
    const { rawId, response } = await navigator.credentials.create({ publicKey: options });
    return JSON.stringify({
      id: text(rawId),
      rawId: text(rawId),
      type: "public-key",
      response: {
        clientDataJSON: text(response.clientDataJSON),
        attestationObject: text(response.attestationObject),
        transports: response.getTransports?.() ?? [],
      },
    });
  };

  const reasons = {
    InvalidStateError: "This key is one of yours already. Take another one.",
    NotAllowedError: "Nothing was set up: it was called off, or took too long. Try again.",
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    button.disabled = true;
    try {
      form.elements.answer.value = await ask();
      form.submit();
    } catch (error) {
      say(reasons[error.name] ?? "Your browser can't set up a security key on this page.");
      button.disabled = false;
      button.focus();
    }
  });

  if (window.PublicKeyCredential === undefined) {
    say("Your browser can't use security keys or passkeys.");
    button.hidden = true;
  }
})();
