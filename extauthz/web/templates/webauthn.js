(() => {
  const form = document.getElementById("webauthn");
  const button = form.querySelector("button");
  const said = document.getElementById("webauthn-said");

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
    for (const one of options.allowCredentials) {
      one.id = bytes(one.id);
    }
    const { rawId, response } = await navigator.credentials.get({ publicKey: options });
    return JSON.stringify({
      id: text(rawId),
      rawId: text(rawId),
      type: "public-key",
      response: {
        clientDataJSON: text(response.clientDataJSON),
        authenticatorData: text(response.authenticatorData),
        signature: text(response.signature),
        ...(response.userHandle?.byteLength ? { userHandle: text(response.userHandle) } : {}),
      },
    });
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    button.disabled = true;
    try {
      form.elements.answer.value = await ask();
      form.submit();
    } catch (error) {
      say(
        error.name === "NotAllowedError"
          ? "Your key was not used: it was called off, took too long, or is not set up here. Try again."
          : "Your browser can't use a security key on this page.",
      );
      button.disabled = false;
      button.focus();
    }
  });

  if (window.PublicKeyCredential === undefined) {
    say("Your browser can't use security keys or passkeys.");
  } else {
    say("");
    button.hidden = false;
  }
})();
