beforeSending(
  "register",
  async (options) => {
    options.challenge = bytes(options.challenge);
    options.user.id = bytes(options.user.id);
    for (const one of options.excludeCredentials ?? []) {
      one.id = bytes(one.id);
    }
    const { rawId, response } = await navigator.credentials.create({ publicKey: options });
    return {
      rawId,
      response: {
        clientDataJSON: text(response.clientDataJSON),
        attestationObject: text(response.attestationObject),
        transports: response.getTransports?.() ?? [],
      },
    };
  },
  {
    InvalidStateError: "This key is one of yours already. Take another one.",
    NotAllowedError: "Nothing was set up: it was called off, or took too long. Try again.",
  },
  "Your browser can't set up a security key on this page.",
);
