// fetch for a single-page application behind extauthz: where a request needs a fresh proof, its user is asked for it in
// a pop-up, and then the same request is sent again. Copy it, or serve it with the application. Licence: Apache-2.0.

const CHANNEL = "extauthz";
const PAGES = "/.extauthz/";

/**
 * Like fetch(input, init). `prepare` is awaited before the pop-up opens and may ask for a click, which browsers want
 * for one; it gets the problem document, and what it returns as false calls the challenge off. What comes back is the
 * answer to the repeated request, or the 401 if no proof was given.
 */
export async function fetchWithChallenge(input, init, { prepare = async () => true } = {}) {
  const request = new Request(input, init);
  const answer = await fetch(request.clone()); // the request itself is kept, with its body
  const address = await challengeOf(answer);
  if (address === null || !(await prepare(await answer.clone().json()))) {
    return answer;
  }
  const channel = new BroadcastChannel(CHANNEL);
  const popup = window.open(address, "_blank", "popup,width=480,height=800");
  try {
    // Blocked: the caller still has the 401, and may ask for a click.
    return popup === null ? answer : ((await repeated(request, popup, channel)) ?? answer);
  } finally {
    channel.close();
    popup?.close();
  }
}

/** The address of the challenge page, if this answer asks for a proof on this origin; else null. */
async function challengeOf(answer) {
  const type = answer.headers.get("content-type") ?? "";
  if (answer.status !== 401 || !type.startsWith("application/problem+json")) {
    return null;
  }
  const { challenge_uri: uri } = await answer.clone().json();
  if (typeof uri !== "string") {
    return null;
  }
  const address = new URL(uri, location.origin);
  if (address.origin !== location.origin || !address.pathname.startsWith(PAGES)) {
    return null;
  }
  address.searchParams.set("then", "close");
  return address.href;
}

/** The answer after a proof. One that was given in another window may be for another request: then wait on. */
async function repeated(request, popup, channel) {
  for (;;) {
    const closed = await proofOrEnd(popup, channel);
    const answer = await fetch(request.clone());
    if ((await challengeOf(answer)) === null) {
      return answer;
    }
    if (closed) {
      return null;
    }
  }
}

/** Resolves when some window of this origin has met a challenge (false), or when the pop-up is gone (true). */
function proofOrEnd(popup, channel) {
  return new Promise((resolve) => {
    const timer = setInterval(() => popup.closed && end(true), 300);
    const end = (closed) => {
      clearInterval(timer);
      channel.onmessage = null;
      resolve(closed);
    };
    channel.onmessage = (event) => event.data?.type === "proven" && end(false);
  });
}
