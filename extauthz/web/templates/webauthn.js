beforeSending(
  "webauthn",
  async (options) => {
    options.challenge = bytes(options.challenge);
    for (const one of options.allowCredentials) {
      one.id = bytes(one.id);
    }
    const { rawId, response } = await navigator.credentials.get({ publicKey: options });
    return {
      rawId,
      response: {
        clientDataJSON: text(response.clientDataJSON),
        authenticatorData: text(response.authenticatorData),
        signature: text(response.signature),
        ...(response.userHandle?.byteLength ? { userHandle: text(response.userHandle) } : {}),
      },
    };
  },
  { NotAllowedError: "Your key was not used: it was called off, took too long, or is not set up here. Try again." },
  "Your browser can't use a security key on this page.",
);
