// Keeps what is marked with `data-live` as the server shows it now, and leaves everything else, a half-written reason
// above all, as it is. The mark is what a part is known by; before its first blank stands what is worth saying.
const said = document.getElementById("live-said");
let asking = false;
let again = false;

const isNews = (old, fresh) => old.dataset.live.split(" ")[0] !== fresh.dataset.live.split(" ")[0];

const take = (page) => {
  let news = false;
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh === null || fresh.dataset.live === old.dataset.live) {
      continue;
    }
    news ||= isNews(old, fresh);
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(document.importNode(fresh, true));
    if (focused !== "") {
      document.getElementById(focused)?.focus();
    }
  }
  return news;
};

const look = async () => {
  again = asking;
  if (asking) {
    return;
  }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    if (!answer.ok) {
      said.textContent = "What you see may be out of date. Open the page again.";
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const news = take(page);
    document.title = page.title;
    said.textContent = news ? "The page has changed." : "";
  } catch {
    said.textContent = "What you see may be out of date: the server does not answer.";
  } finally {
    asking = false;
    if (again) {
      setTimeout(look, 250);
    }
  }
};

// A page of which no part is live stays as it is: a decision, also one that a draft was tried on.
if (document.querySelector("[data-live]") !== null) {
  const events = new EventSource("/events");
  events.addEventListener("changed", look);
  events.addEventListener("error", () => {
    if (events.readyState === EventSource.CLOSED) {
      look();
    }
  });
  // Where nobody tells of news, the page says after how many seconds it looks.
  const every = Number(document.querySelector("[data-every]")?.dataset.every ?? 30);
  setInterval(look, every * 1000);
}
