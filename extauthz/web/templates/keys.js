const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

const create = async (options) => {
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: named(options.excludeCredentials),
    },
  });
  const { clientDataJSON, attestationObject } = credential.response;
  const transports = credential.response.getTransports ? credential.response.getTransports() : [];
  return [credential, { clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject), transports }];
};

const get = async (options) => {
  const credential = await navigator.credentials.get({
    publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) },
  });
  const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
  const response = {
    clientDataJSON: text(clientDataJSON),
    authenticatorData: text(authenticatorData),
    signature: text(signature),
  };
  if (userHandle && userHandle.byteLength) response.userHandle = text(userHandle);
  return [credential, response];
};

const reason = (error) => {
  if (error.name === "InvalidStateError") return "This key is one of yours already. Take another one.";
  if (error.name === "NotAllowedError") return "Nothing came of it: it was cancelled, or took too long. Try again.";
  return "Your browser can't do this here. Try another browser, or choose an authenticator app.";
};

for (const form of document.querySelectorAll("form[data-create], form[data-get]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = form.querySelector("[data-status]");
    const button = form.querySelector("button");
    said.hidden = true;
    button.disabled = true;
    try {
      const { create: creating, get: getting } = form.dataset;
      const [credential, response] = creating ? await create(JSON.parse(creating)) : await get(JSON.parse(getting));
      const { id, type } = credential;
      form.elements.answer.value = JSON.stringify({ id, rawId: id, type, response });
      form.submit();
    } catch (error) {
      said.textContent = reason(error);
      said.hidden = false;
      button.disabled = false;
      button.focus();
    }
  });
}
